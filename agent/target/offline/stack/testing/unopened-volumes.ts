const id = (number: number) =>
  `lv${String(number).padStart(2, '0')}AA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA`;
const linear = (at: number) => `type = "striped" stripe_count = 1 stripes = ["pv0", ${at}]`;
const HIDDEN = /_(?:tmeta|tdata|rmeta|rimage)|^snapshot/;

/** Volumes and the pieces they are made of, one extent each. */
const SEGMENTS: readonly [name: string, segment: string][] = [
  ['plain', linear(0)],
  [
    'pool',
    'type = "thin-pool" metadata = "pool_tmeta" pool = "pool_tdata" transaction_id = 1 chunk_size = 128 discards = "passdown" zero_new_blocks = 1',
  ],
  ['pool_tmeta', linear(1)],
  ['pool_tdata', linear(2)],
  ['thin', 'type = "thin" thin_pool = "pool" transaction_id = 0 device_id = 1'],
  [
    'mirror',
    'type = "raid1" device_count = 2 region_size = 4096 raids = ["mirror_rmeta_0", "mirror_rimage_0", "mirror_rmeta_1", "mirror_rimage_1"]',
  ],
  ['mirror_rmeta_0', linear(3)],
  ['mirror_rimage_0', linear(4)],
  ['mirror_rmeta_1', linear(5)],
  ['mirror_rimage_1', linear(6)],
  ['origin', linear(7)],
  ['before', linear(8)],
  ['snapshot0', 'type = "snapshot" chunk_size = 8 origin = "origin" cow_store = "before"'],
];

export const UNOPENED_PV = '7YZfbc-k5Mt-bVvd-hdRw-vfoD-OgJ0-WyNJkd';

/**
 * Metadata of a group `shop` on a disk of 64 MiB with one volume of each kind: plain, thin, mirrored, with a
 * snapshot and being one. For `lvm vgcfgrestore --force` (vgcfgrestore(8)): a kernel without the device mapper
 * makes none of them.
 */
export const UNOPENED_GROUP = `contents = "Text Format Volume Group"
version = 1
shop {
  id = "KMUBKo-87oh-f9Gc-nQfy-Z3cn-Nmo2-srYjuH" seqno = 3 format = "lvm2"
  status = ["RESIZEABLE", "READ", "WRITE"] flags = []
  extent_size = 8192 max_lv = 0 max_pv = 0 metadata_copies = 0
  physical_volumes {
    pv0 { id = "${UNOPENED_PV}" status = ["ALLOCATABLE"] flags = [] dev_size = 131072 pe_start = 2048 pe_count = 15 }
  }
  logical_volumes {
${SEGMENTS.map(
  ([name, segment], at) =>
    `    ${name} { id = "${id(at + 1)}" status = ["READ", "WRITE"${HIDDEN.test(name) ? '' : ', "VISIBLE"'}] flags = [] segment_count = 1
      segment1 { start_extent = 0 extent_count = 1 ${segment} } }`,
).join('\n')}
  }
}
`;
