/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg: key-value items and named files that firmware and guest drivers
 * read through three I/O ports.
 *
 *   0x510  selector, 16 bits, write only
 *   0x511  data, 8 bits: the next byte of the selected item
 *   0x514  DMA: guest-physical address of a request, 64 bits, big-endian;
 *          writing the low half (0x518) starts it. Reads "QEMU CFG".
 *
 * Items are read-only for the guest: the old write channel and DMA writes are
 * refused. Bytes past the end of an item read as zero.
 */
#include "util/osdep.h"
#include "hw/i386/pc.h"
#include "system/memory.h"
#include "system/runstate.h"
#include "util/endian.h"

#define FW_CFG_SIGNATURE     0x00
#define FW_CFG_ID            0x01
#define FW_CFG_FILE_DIR      0x19
#define FW_CFG_FILE_FIRST    0x20
#define FW_CFG_WRITE_CHANNEL 0x4000

#define FW_CFG_MAX_FILES 512u
#define FW_CFG_NAME_SIZE 56 /* with the terminating NUL */
#define FW_CFG_DIR_ENTRY 64 /* bytes of one directory entry */

#define FW_CFG_ID_PORTS (1u << 0)
#define FW_CFG_ID_DMA   (1u << 1)

#define FW_CFG_DMA_ERROR  (1u << 0)
#define FW_CFG_DMA_READ   (1u << 1)
#define FW_CFG_DMA_SKIP   (1u << 2)
#define FW_CFG_DMA_SELECT (1u << 3)
#define FW_CFG_DMA_WRITE  (1u << 4)

/* How far past the end of an item one DMA request may read zeros. Drivers ask
 * for what is there; without a limit a guest could keep us busy for 4 GiB. */
#define FW_CFG_DMA_SLACK (64 * KiB)

#define FW_CFG_PORTS   12
#define FW_CFG_DATA    1 /* offset of port 0x511 */
#define FW_CFG_DMA_HI  4
#define FW_CFG_DMA_LO  8
#define FW_CFG_DMA_SIG "QEMU CFG"

typedef struct FwItem {
    const uint8_t *data;
    size_t len;
    uint8_t *owned; /* the copy to free, or NULL */
} FwItem;

typedef struct FwFile {
    char name[FW_CFG_NAME_SIZE];
    FwItem item;
} FwFile;

struct FwCfg {
    IoRegion io;
    GHashTable *items; /* key to FwItem */
    GPtrArray *files;  /* of FwFile, sorted by name */
    /* register state, set back at reset */
    const FwItem *selected; /* NULL: a key that does not exist */
    size_t offset;          /* of the next byte in it */
    uint32_t dma_hi;
};

static FwCfg *fw_cfg_instance;

static void item_set(FwItem *item, const void *data, size_t len, bool copy)
{
    g_free(item->owned);
    item->owned = copy ? g_memdup2(data, len) : NULL;
    item->data = copy ? item->owned : data;
    item->len = len;
}

static const FwItem *item_find(const FwCfg *fw, uint16_t key)
{
    unsigned index;

    if (key < FW_CFG_FILE_FIRST || key & 0x8000) {
        return g_hash_table_lookup(fw->items, GUINT_TO_POINTER(key));
    }
    index = key - FW_CFG_FILE_FIRST;
    if (index >= fw->files->len) {
        return NULL;
    }
    return &((FwFile *)g_ptr_array_index(fw->files, index))->item;
}

static void select_key(FwCfg *fw, uint16_t key)
{
    fw->selected = item_find(fw, key & ~FW_CFG_WRITE_CHANNEL);
    fw->offset = 0;
}

static size_t bytes_left(const FwCfg *fw)
{
    const FwItem *item = fw->selected;

    return item && fw->offset < item->len ? item->len - fw->offset : 0;
}

static uint8_t next_byte(FwCfg *fw)
{
    return bytes_left(fw) ? fw->selected->data[fw->offset++] : 0;
}

/* ---- DMA ---- */

/* Copies @len bytes of the item, zeros after its end, to guest memory. */
static bool dma_read_item(FwCfg *fw, uint64_t gpa, uint32_t len)
{
    static const uint8_t zeros[4096];
    uint32_t n = MIN(len, bytes_left(fw)), step;

    if (len - n > FW_CFG_DMA_SLACK || gpa + len < gpa) {
        return false;
    }
    if (n && !ram_write(gpa, fw->selected->data + fw->offset, n)) {
        return false;
    }
    fw->offset += n;
    for (; n < len; n += step) {
        step = MIN(len - n, sizeof(zeros));
        if (!ram_write(gpa + n, zeros, step)) {
            return false;
        }
    }
    return true;
}

/* True when the request was carried out. */
static bool dma_execute(FwCfg *fw, uint32_t control, uint64_t gpa, uint32_t len)
{
    if (control & FW_CFG_DMA_SELECT) {
        select_key(fw, control >> 16);
    }
    if (control & FW_CFG_DMA_READ) {
        return dma_read_item(fw, gpa, len);
    }
    if (control & FW_CFG_DMA_WRITE) {
        return false;
    }
    if (control & FW_CFG_DMA_SKIP) {
        fw->offset += MIN(len, bytes_left(fw));
    }
    return true;
}

static void dma_run(FwCfg *fw, uint64_t request)
{
    struct {
        be32 control, len, addr_hi, addr_lo;
    } r;
    uint64_t gpa;
    be32 status;

    if (!ram_read(request, &r, sizeof(r))) {
        return; /* nowhere to report it either */
    }
    gpa = (uint64_t)be32_get(r.addr_hi) << 32 | be32_get(r.addr_lo);
    status =
        be32_make(dma_execute(fw, be32_get(r.control), gpa, be32_get(r.len))
                      ? 0
                      : FW_CFG_DMA_ERROR);
    ram_write(request, &status, sizeof(status));
}

/* ---- registers ---- */

static uint64_t fw_cfg_read(void *opaque, uint64_t offset, unsigned size)
{
    FwCfg *fw = opaque;
    uint64_t value = 0, at;
    uint8_t byte;

    for (unsigned i = 0; i < size; i++) {
        at = offset + i;
        byte = 0;
        if (at == FW_CFG_DATA) {
            byte = next_byte(fw);
        } else if (at >= FW_CFG_DMA_HI && at < FW_CFG_PORTS) {
            byte = FW_CFG_DMA_SIG[at - FW_CFG_DMA_HI];
        }
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void fw_cfg_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size)
{
    FwCfg *fw = opaque;
    uint32_t hi;

    if (offset == 0 && size == 2) {
        select_key(fw, value);
    } else if (offset == FW_CFG_DMA_HI && size == 4) {
        fw->dma_hi = be32toh(value);
    } else if (offset == FW_CFG_DMA_LO && size == 4) {
        hi = fw->dma_hi;
        fw->dma_hi = 0;
        dma_run(fw, (uint64_t)hi << 32 | be32toh(value));
    }
}

static void fw_cfg_reset(void *opaque)
{
    FwCfg *fw = opaque;

    select_key(fw, FW_CFG_SIGNATURE);
    fw->dma_hi = 0;
}

/* ---- content ---- */

void fw_cfg_add_bytes(FwCfg *fw, uint16_t key, const void *data, size_t len,
                      bool copy)
{
    FwItem *item = g_hash_table_lookup(fw->items, GUINT_TO_POINTER(key));

    if (!item) {
        item = g_new0(FwItem, 1);
        g_hash_table_insert(fw->items, GUINT_TO_POINTER(key), item);
    }
    item_set(item, data, len, copy);
}

void fw_cfg_add_u16(FwCfg *fw, uint16_t key, uint16_t v)
{
    le16 value = le16_make(v);

    fw_cfg_add_bytes(fw, key, &value, sizeof(value), true);
}

void fw_cfg_add_u32(FwCfg *fw, uint16_t key, uint32_t v)
{
    le32 value = le32_make(v);

    fw_cfg_add_bytes(fw, key, &value, sizeof(value), true);
}

/* The directory: a count, then size, key, reserved and name of each file. */
static void MAIN_THREAD build_directory(FwCfg *fw)
{
    size_t len = sizeof(be32) + fw->files->len * FW_CFG_DIR_ENTRY;
    g_autofree uint8_t *dir = g_malloc0(len);
    uint8_t *p = dir + sizeof(be32);
    const FwFile *file;
    be32 count = be32_make(fw->files->len), size;
    be16 key;

    memcpy(dir, &count, sizeof(count));
    for (unsigned i = 0; i < fw->files->len; i++, p += FW_CFG_DIR_ENTRY) {
        file = g_ptr_array_index(fw->files, i);
        size = be32_make(file->item.len);
        key = be16_make(FW_CFG_FILE_FIRST + i);
        memcpy(p, &size, sizeof(size));
        memcpy(p + 4, &key, sizeof(key));
        memcpy(p + 8, file->name, FW_CFG_NAME_SIZE);
    }
    fw_cfg_add_bytes(fw, FW_CFG_FILE_DIR, dir, len, true);
}

static bool check_file(const FwCfg *fw, const char *name, size_t len,
                       Error **errp)
{
    if (!*name || strlen(name) >= FW_CFG_NAME_SIZE) {
        error_setg(errp, "fw_cfg file name '%s' must have 1 to %d characters",
                   name, FW_CFG_NAME_SIZE - 1);
        return false;
    }
    if (len > UINT32_MAX) {
        error_setg(errp, "fw_cfg file '%s' has %zu bytes, must be below 4 GiB",
                   name, len);
        return false;
    }
    if (fw->files->len == FW_CFG_MAX_FILES) {
        error_setg(errp,
                   "fw_cfg file '%s' is one too many, at most %u can be given",
                   name, FW_CFG_MAX_FILES);
        return false;
    }
    return true;
}

bool fw_cfg_add_file(FwCfg *fw, const char *name, const void *data, size_t len,
                     Error **errp)
{
    unsigned at = 0;
    FwFile *file;
    int order;

    if (!check_file(fw, name, len, errp)) {
        return false;
    }
    for (; at < fw->files->len; at++) {
        file = g_ptr_array_index(fw->files, at);
        order = strcmp(file->name, name);
        if (order == 0) {
            error_setg(errp, "fw_cfg file '%s' exists already, must be unique",
                       name);
            return false;
        }
        if (order > 0) {
            break;
        }
    }
    file = g_new0(FwFile, 1);
    memcpy(file->name, name, strlen(name));
    item_set(&file->item, data, len, true);
    g_ptr_array_insert(fw->files, at, file);
    build_directory(fw);
    return true;
}

FwCfg *fw_cfg_get(void)
{
    return fw_cfg_instance;
}

FwCfg *fw_cfg_init(void)
{
    static const IoRegionOps ops = { .read = fw_cfg_read,
                                     .write = fw_cfg_write };
    FwCfg *fw = g_new0(FwCfg, 1);

    fw->items = g_hash_table_new(NULL, NULL);
    fw->files = g_ptr_array_new();
    fw_cfg_add_bytes(fw, FW_CFG_SIGNATURE, "QEMU", 4, false);
    fw_cfg_add_u32(fw, FW_CFG_ID, FW_CFG_ID_PORTS | FW_CFG_ID_DMA);
    build_directory(fw);
    fw_cfg_reset(fw);

    io_region_init(&fw->io, "fw_cfg", &ops, fw, FW_CFG_PORTS);
    io_region_map(&fw->io, IO_SPACE_PORT, PC_FW_CFG_PORT, 0);
    reset_handler_add(fw_cfg_reset, fw);
    fw_cfg_instance = fw;
    return fw;
}
