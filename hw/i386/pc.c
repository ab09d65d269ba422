/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `pc` machine: puts RAM, chipset, ISA devices, fw_cfg and vCPUs together
 * and starts a kernel without a firmware.
 *
 * At each start, and at each reset once the devices are reset: PCI gets its
 * addresses, ACPI tables and the kernel are loaded (the guest may have
 * overwritten them), the first vCPU gets its start state.
 */
#include "util/osdep.h"
#include "hw/i386/boot-internal.h"
#include "hw/i386/i8042.h"
#include "hw/i386/rtc.h"
#include "hw/char/serial.h"
#include "hw/misc/pvpanic.h"
#include "system/memory-backend.h"
#include "system/runstate.h"
#include "util/endian.h"

/* Where the 640 KiB end and where RAM goes on: no display adapter between. */
#define LOW_RAM_END  0xa0000u
#define HIGH_BIOS    0xc0000u
#define MMIO64_SIZE  (32 * GiB)
#define MMIO64_LIMIT (1ULL << 40) /* what any 64-bit guest CPU can address */

/* fw_cfg keys that tell of the machine */
enum {
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
};

typedef struct PcMachine {
    /* fixed after pc_machine_init */
    MemoryBackend *ram;
    PCIBus *pci;
    LinuxBootConfig boot; /* kernel NULL: none */
    bool acpi;
    /* fixed after pc_machine_done */
    AcpiConfig acpi_cfg;
} PcMachine;

static PcMachine pc;

/* ---- RAM ---- */

static MemoryBackend *MAIN_THREAD take_ram(const PcMachineConfig *cfg,
                                           Error **errp)
{
    MemoryBackend *ram;

    if (!cfg->ram_size || cfg->ram_size % PAGE_SIZE_4K) {
        error_setg(errp,
                   "-m: RAM of %" PRIu64
                   " bytes must be a multiple of 4 KiB and not 0",
                   cfg->ram_size);
        return NULL;
    }
    if (!cfg->ram_backend_id) {
        return memory_backend_new_default("pc.ram", cfg->ram_size, errp);
    }
    ram = memory_backend_find(cfg->ram_backend_id, errp);
    if (!ram) {
        return NULL;
    }
    if (ram->size != cfg->ram_size) {
        error_setg(errp,
                   "-machine memory-backend=%s has %" PRIu64
                   " bytes, -m must be the same, not %" PRIu64,
                   cfg->ram_backend_id, ram->size, cfg->ram_size);
        return NULL;
    }
    return memory_backend_claim(ram, "the machine's RAM", errp) ? ram : NULL;
}

/* Puts the bytes of the backend from @offset on at [@gpa, @end). */
static bool MAIN_THREAD map_ram(uint64_t gpa, uint64_t end, uint64_t offset,
                                Error **errp)
{
    RamRange range = { .gpa = gpa,
                       .size = end - gpa,
                       .host = pc.ram->host + offset,
                       .fd = pc.ram->share ? pc.ram->fd : -1,
                       .fd_offset = offset };

    return end <= gpa || ram_add(&range, errp);
}

static bool MAIN_THREAD init_ram(const PcMachineConfig *cfg, Error **errp)
{
    uint64_t below = MIN(cfg->ram_size, PC_MAX_BELOW_4G);
    uint64_t above = cfg->ram_size - below;

    pc.ram = take_ram(cfg, errp);
    if (!pc.ram) {
        return false;
    }
    pc.boot.below_4g = below;
    pc.boot.above_4g = above;
    return map_ram(0, MIN(below, LOW_RAM_END), 0, errp) &&
           map_ram(HIGH_BIOS, below, HIGH_BIOS, errp) &&
           map_ram(4 * GiB, 4 * GiB + above, below, errp);
}

/* ---- fw_cfg ---- */

/* etc/e820: where RAM is, for a firmware; address, size, type each. */
static bool MAIN_THREAD add_e820(FwCfg *fw, Error **errp)
{
    uint8_t table[2 * 20] = { 0 };
    size_t len = 20;

    store_le64(table + 8, pc.boot.below_4g);
    store_le32(table + 16, BOOT_RANGE_RAM);
    if (pc.boot.above_4g) {
        store_le64(table + 20, 4 * GiB);
        store_le64(table + 28, pc.boot.above_4g);
        store_le32(table + 36, BOOT_RANGE_RAM);
        len += 20;
    }
    return fw_cfg_add_file(fw, "etc/e820", table, len, errp);
}

static bool MAIN_THREAD init_fw_cfg(const PcMachineConfig *cfg, Error **errp)
{
    FwCfg *fw = fw_cfg_init();
    unsigned apic_ids = vcpu_apic_id(&cfg->topo, cfg->topo.maxcpus - 1) + 1;
    size_t numa_len = sizeof(le64) * (1 + apic_ids);
    g_autofree uint8_t *numa = g_malloc0(numa_len); /* no nodes */
    le64 ram_size = le64_make(cfg->ram_size);
    const char *append = cfg->append ? cfg->append : "";

    fw_cfg_add_bytes(fw, FW_CFG_UUID, cfg->uuid, sizeof(cfg->uuid), true);
    fw_cfg_add_bytes(fw, FW_CFG_RAM_SIZE, &ram_size, sizeof(ram_size), true);
    fw_cfg_add_u16(fw, FW_CFG_NOGRAPHIC, 1);
    fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, cfg->topo.cpus);
    fw_cfg_add_u16(fw, FW_CFG_MAX_CPUS, apic_ids);
    fw_cfg_add_bytes(fw, FW_CFG_NUMA, numa, numa_len, true);
    fw_cfg_add_u16(fw, FW_CFG_BOOT_MENU, 0);
    if (cfg->kernel) {
        fw_cfg_add_u32(fw, FW_CFG_CMDLINE_SIZE, strlen(append) + 1);
        fw_cfg_add_bytes(fw, FW_CFG_CMDLINE_DATA, append, strlen(append) + 1,
                         true);
    }
    return add_e820(fw, errp);
}

/* ---- start and reset ---- */

static void init_acpi_config(const PcMachineConfig *cfg)
{
    AcpiConfig *acpi = &pc.acpi_cfg;
    uint64_t base = ALIGN_UP(4 * GiB + pc.boot.above_4g, GiB);

    pc.acpi = cfg->acpi;
    *acpi = (AcpiConfig){
        .topo = cfg->topo,
        .below_4g = pc.boot.below_4g,
        .above_4g = pc.boot.above_4g,
        .mmio32_base = PC_PCI_HOLE_BASE,
        .mmio32_end = PC_PCI_HOLE_END,
    };
    if (base <= MMIO64_LIMIT - MMIO64_SIZE) {
        acpi->mmio64_base = base;
        acpi->mmio64_end = base + MMIO64_SIZE;
    }
}

/* Does what a firmware would, loads the kernel. Devices have been reset. */
static bool MAIN_THREAD prepare_boot(Error **errp)
{
    VcpuBootState state = { .valid = false };

    if (!pc.boot.kernel) {
        return true;
    }
    pc_pci_assign(pc.pci, pc.acpi_cfg.mmio64_base, pc.acpi_cfg.mmio64_end);
    if ((pc.acpi && !acpi_build(&pc.acpi_cfg, &pc.boot.rsdp_gpa, errp)) ||
        !linux_boot_load(&pc.boot, &state, errp)) {
        return false;
    }
    vcpus_set_boot_state(&state);
    return true;
}

static void MAIN_THREAD pc_reset(void *opaque)
{
    g_autoptr(GError) err = NULL;

    if (!prepare_boot(&err)) {
        error_report("cannot restart the guest: %s", err->message);
        system_shutdown_request(SHUTDOWN_CAUSE_HOST_ERROR);
    }
}

/* ---- building ---- */

static bool MAIN_THREAD open_boot_files(const PcMachineConfig *cfg,
                                        Error **errp)
{
    if (!cfg->kernel && (cfg->initrd || cfg->append)) {
        error_setg(errp, "%s needs -kernel as well",
                   cfg->initrd ? "-initrd" : "-append");
        return false;
    }
    if (!cfg->kernel) {
        if (!cfg->start_paused && !accel_is("qtest")) {
            error_setg(errp, "no bootable kernel: use -kernel (firmware boot "
                             "is not available)");
            return false;
        }
        return true;
    }
    pc.boot.kernel = g_strdup(cfg->kernel);
    pc.boot.initrd = g_strdup(cfg->initrd);
    pc.boot.append = g_strdup(cfg->append);
    return linux_boot_open(&pc.boot, errp);
}

static bool MAIN_THREAD init_isa(const PcMachineConfig *cfg, Error **errp)
{
    if (!rtc_init(pc.boot.below_4g, pc.boot.above_4g, cfg->topo.cpus, errp) ||
        !i8042_init(errp)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cfg->serial); i++) {
        if (cfg->serial[i] && !serial_isa_init(i, cfg->serial[i], errp)) {
            return false;
        }
    }
    return true;
}

bool pc_machine_init(const PcMachineConfig *cfg, Error **errp)
{
    if (!open_boot_files(cfg, errp) || !init_ram(cfg, errp) ||
        !init_fw_cfg(cfg, errp)) {
        return false;
    }
    pc.pci = i440fx_init();
    /* A guest without ACPI tables would never hear of it. */
    pc.pci->bus.hotpluggable &= cfg->acpi;
    init_acpi_config(cfg);
    return init_isa(cfg, errp) && vcpus_init(&cfg->topo, errp);
}

bool pc_machine_done(Error **errp)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pc.acpi_cfg.serial); i++) {
        pc.acpi_cfg.serial[i] = serial_isa_present(i);
    }
    pc.acpi_cfg.pvpanic_port = pvpanic_isa_port();
    reset_handler_add(pc_reset, NULL);
    return prepare_boot(errp);
}
