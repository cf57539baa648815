/**
 * What an entry of a UEFI firmware says: EFI_LOAD_OPTION (UEFI Specification 2.10, 3.1.3) with a device path
 * (10.3) of the short form, which begins at a partition.
 */
export interface LoadOption {
  isActive: boolean;
  /** Whether it is a program of the firmware's own that no start tries, such as its setup. */
  isApplication: boolean;
  /** What the menu of the firmware shows. */
  label: string;
  /** The partition that it starts from; null for one that starts from something else. */
  partition: LoadPartition | null;
  /** The program on it, as the firmware writes paths: `\EFI\debian\shimx64.efi`; null for none. */
  file: string | null;
  /** Whether it is started over the network. */
  isNetwork: boolean;
  /** What the program is told; some firmware writes marks of its own there. */
  data: Buffer;
}

export interface LoadPartition {
  number: number;
  /** In sectors of its disk. */
  start: number;
  sectors: number;
  signature: PartitionSignature;
}

/** How firmware knows a partition again. */
export interface PartitionSignature {
  table: 'gpt' | 'dos';
  /** Of a GPT the GUID of the partition; of an MBR the number of the disk, as written there, and zeros. */
  bytes: Buffer;
}

const ACTIVE = 1;
const [CATEGORY, APPLICATION] = [0x1f00, 0x100];
const HEAD_BYTES = 6;
/** Types and subtypes of the nodes of a device path. */
const [MESSAGING, MEDIA, END] = [3, 4, 0x7f];
const [HARD_DRIVE, FILE] = [1, 4];
const HARD_DRIVE_BYTES = 42;
/** MAC address, IPv4, IPv6 and URI. */
const NETWORK = new Set([11, 12, 13, 24]);
const TABLES = { dos: 1, gpt: 2 } as const;

/** Null for bytes that are none, and for one without a device path. */
export function readLoadOption(bytes: Buffer): LoadOption | null {
  if (bytes.length < HEAD_BYTES) return null;
  const pathBytes = bytes.readUInt16LE(4);
  const end = endOfText(bytes, HEAD_BYTES);
  if (end === null || pathBytes === 0 || end + pathBytes > bytes.length) return null;
  const nodes = nodesOf(bytes.subarray(end, end + pathBytes));
  if (nodes === null) return null;
  const drive = nodes.find(({ type, subtype }) => type === MEDIA && subtype === HARD_DRIVE);
  const files = nodes.filter(({ type, subtype }) => type === MEDIA && subtype === FILE);
  const attributes = bytes.readUInt32LE(0);
  return {
    isActive: (attributes & ACTIVE) !== 0,
    isApplication: (attributes & CATEGORY) === APPLICATION,
    label: bytes.toString('utf16le', HEAD_BYTES, end - 2),
    partition: drive === undefined ? null : readPartition(drive.bytes),
    file: files.length === 0 ? null : files.map(({ bytes: text }) => textOf(text)).join('\\'),
    isNetwork: nodes.some(({ type, subtype }) => type === MESSAGING && NETWORK.has(subtype)),
    data: Buffer.from(bytes.subarray(end + pathBytes)),
  };
}

/** An active entry that starts a program from a partition. */
export function writeLoadOption(label: string, partition: LoadPartition, file: string): Buffer {
  const drive = Buffer.alloc(HARD_DRIVE_BYTES - 4);
  drive.writeUInt32LE(partition.number, 0);
  drive.writeBigUInt64LE(BigInt(partition.start), 4);
  drive.writeBigUInt64LE(BigInt(partition.sectors), 12);
  partition.signature.bytes.copy(drive, 20);
  drive.fill(TABLES[partition.signature.table], 36);
  const path = Buffer.concat([
    node(MEDIA, HARD_DRIVE, drive),
    node(MEDIA, FILE, Buffer.from(`${file}\0`, 'utf16le')),
    node(END, 0xff, Buffer.alloc(0)),
  ]);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(ACTIVE, 0);
  head.writeUInt16LE(path.length, 4);
  return Buffer.concat([head, Buffer.from(`${label}\0`, 'utf16le'), path]);
}

/**
 * The signature that goes with what blkid(8) calls PART_ENTRY_UUID: a GUID, or the number of an MBR's disk and
 * that of the partition. Null for what is neither.
 */
export function partitionSignature(uuid: string | null): PartitionSignature | null {
  const guid = uuid?.replaceAll('-', '') ?? '';
  if (/^[0-9a-fA-F]{32}$/.test(guid)) {
    const bytes = Buffer.from(guid, 'hex');
    // Three numbers of it are little-endian (appendix A).
    bytes.subarray(0, 4).reverse();
    bytes.subarray(4, 6).reverse();
    bytes.subarray(6, 8).reverse();
    return { table: 'gpt', bytes };
  }
  const [, disk] = /^([0-9a-fA-F]{8})-[0-9a-fA-F]{2}$/.exec(uuid ?? '') ?? [];
  if (disk === undefined) return null;
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(Number.parseInt(disk, 16), 0);
  return { table: 'dos', bytes };
}

/** Where the text that begins there is over, after its NUL; null for one without an end. */
function endOfText(bytes: Buffer, from: number): number | null {
  for (let at = from; at + 2 <= bytes.length; at += 2) {
    if (bytes.readUInt16LE(at) === 0) return at + 2;
  }
  return null;
}

interface Node {
  type: number;
  subtype: number;
  bytes: Buffer;
}

/** Null where a node is longer than the path, or shorter than its own head. */
function nodesOf(path: Buffer): Node[] | null {
  const nodes: Node[] = [];
  for (let at = 0; at < path.length;) {
    if (at + 4 > path.length) return null;
    const [type, subtype, bytes] = [path[at]!, path[at + 1]!, path.readUInt16LE(at + 2)];
    if (bytes < 4 || at + bytes > path.length) return null;
    if (type === END) break;
    nodes.push({ type, subtype, bytes: path.subarray(at + 4, at + bytes) });
    at += bytes;
  }
  return nodes;
}

function readPartition(bytes: Buffer): LoadPartition | null {
  if (bytes.length < HARD_DRIVE_BYTES - 4) return null;
  const table = bytes[36] === TABLES.gpt ? 'gpt' : 'dos';
  return {
    number: bytes.readUInt32LE(0),
    start: Number(bytes.readBigUInt64LE(4)),
    sectors: Number(bytes.readBigUInt64LE(12)),
    signature: { table, bytes: Buffer.from(bytes.subarray(20, 36)) },
  };
}

const textOf = (bytes: Buffer) => bytes.toString('utf16le').replace(/\0[\s\S]*$/, '');

function node(type: number, subtype: number, bytes: Buffer): Buffer {
  const head = Buffer.from([type, subtype, 0, 0]);
  head.writeUInt16LE(head.length + bytes.length, 2);
  return Buffer.concat([head, bytes]);
}
