/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of guest RAM that are looked at twice: those that differ were written.
 *
 * Of a page a sum is kept, not the contents. Pages are spread evenly: one at a
 * random place of each of as many equal parts of RAM.
 */
#include "util/osdep.h"

#include "system/dirty-rate.h"

#define WORDS (PAGE_SIZE_4K / sizeof(uint64_t))

typedef struct SampledPage {
    const uint64_t *data;
    uint64_t sum;
} SampledPage;

struct DirtySample {
    uint64_t ram_pages; /* of which these are a part */
    uint64_t n, n_changed;
    bool looked; /* once */
    SampledPage page[];
};

static uint64_t writable_pages(const RamMap *map)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < map->n; i++) {
        n += map->range[i].readonly ? 0 : map->range[i].size / PAGE_SIZE_4K;
    }
    return n;
}

/* The contents of page @number of those that the guest may write. */
static const uint64_t *page_at(const RamMap *map, uint64_t number)
{
    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];
        uint64_t pages = r->readonly ? 0 : r->size / PAGE_SIZE_4K;

        if (number < pages) {
            return (const void *)(r->host + number * PAGE_SIZE_4K);
        }
        number -= pages;
    }
    g_assert_not_reached();
}

static uint64_t random_below(GRand *random, uint64_t n)
{
    uint64_t wide =
        (uint64_t)g_rand_int(random) << 32 | (uint64_t)g_rand_int(random);

    return wide % n;
}

DirtySample *dirty_sample_new(uint64_t per_gib)
{
    const RamMap *map = ram_map_get();
    uint64_t pages = writable_pages(map);
    uint64_t n = pages / (GiB / PAGE_SIZE_4K) * per_gib +
                 pages % (GiB / PAGE_SIZE_4K) * per_gib / (GiB / PAGE_SIZE_4K);
    DirtySample *sample;
    GRand *random;

    if (pages == 0) {
        return NULL;
    }
    n = CLAMP(n, 1, pages);
    sample = g_malloc0(sizeof(*sample) + n * sizeof(sample->page[0]));
    sample->ram_pages = pages;
    sample->n = n;
    random = g_rand_new();
    for (uint64_t i = 0; i < n; i++) {
        uint64_t first = (uint64_t)((unsigned __int128)i * pages / n);
        uint64_t end = (uint64_t)((unsigned __int128)(i + 1) * pages / n);

        sample->page[i].data =
            page_at(map, first + random_below(random, end - first));
    }
    g_rand_free(random);
    return sample;
}

void dirty_sample_free(DirtySample *sample)
{
    g_free(sample);
}

/* The guest and its devices write to the page meanwhile: a sum of what was
 * there at no one time differs from others all the same. */
__attribute__((no_sanitize("thread"))) static uint64_t
page_sum(const uint64_t *data)
{
    const volatile uint64_t *word = data;
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        sum = (sum ^ word[i]) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum;
}

void dirty_sample_look(DirtySample *sample, const bool *stop)
{
    for (uint64_t i = 0; i < sample->n; i++) {
        SampledPage *page = &sample->page[i];
        uint64_t sum;

        if (__atomic_load_n(stop, __ATOMIC_RELAXED)) {
            return;
        }
        sum = page_sum(page->data);
        sample->n_changed += sample->looked && sum != page->sum;
        page->sum = sum;
    }
    sample->looked = true;
}

uint64_t dirty_sample_written(const DirtySample *sample)
{
    unsigned __int128 bytes =
        (unsigned __int128)sample->n_changed * sample->ram_pages * PAGE_SIZE_4K;

    return (uint64_t)(bytes / sample->n);
}

uint64_t dirty_sample_pages(const DirtySample *sample)
{
    return sample->n;
}
