import { open } from 'node:fs/promises';

const AT_BYTES = 4096;
const DEVICES = 2;
const DATA_OFFSET_SECTORS = 2048;

/**
 * Makes a file one half of a mirror `shop:0`, with the superblock of version 1.2 that mdadm(8) would write
 * (`struct mdp_superblock_1` of linux/raid/md_p.h): a kernel without RAID makes none.
 */
export async function makeRaidMember(
  file: string,
  {
    number,
    events = 18,
    bytes,
    reshapes = false,
  }: { number: 0 | 1; events?: number; bytes: number; reshapes?: boolean },
): Promise<void> {
  const block = Buffer.alloc(256 + DEVICES * 2);
  const sectors = BigInt(bytes / 512 - DATA_OFFSET_SECTORS);
  block.writeUInt32LE(0xa92b4efc, 0);
  block.writeUInt32LE(1, 4);
  Buffer.from('e431ea6c2305c279b5b3009acbeac14c', 'hex').copy(block, 16);
  block.write('shop:0', 32, 'latin1');
  // MD_FEATURE_RESHAPE_ACTIVE
  if (reshapes) block.writeUInt32LE(4, 8);
  block.writeInt32LE(1, 72);
  block.writeBigUInt64LE(sectors, 80);
  block.writeUInt32LE(DEVICES, 92);
  block.writeBigUInt64LE(BigInt(DATA_OFFSET_SECTORS), 128);
  block.writeBigUInt64LE(sectors, 136);
  block.writeBigUInt64LE(BigInt(AT_BYTES / 512), 144);
  block.writeUInt32LE(number, 160);
  block.fill(number + 1, 168, 184);
  block.writeBigUInt64LE(BigInt(events), 200);
  // Nothing is left to be compared.
  block.writeBigUInt64LE(2n ** 64n - 1n, 208);
  block.writeUInt32LE(DEVICES, 220);
  for (let role = 0; role < DEVICES; role++) block.writeUInt16LE(role, 256 + role * 2);
  block.writeUInt32LE(checksum(block), 216);
  const handle = await open(file, 'r+');
  try {
    await handle.write(block, 0, block.length, AT_BYTES);
  } finally {
    await handle.close();
  }
}

/** The sum of all words, while its own is 0, with what is beyond 32 bits added again. */
function checksum(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < block.length; at += 4) sum += block.readUInt32LE(at);
  return ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) % 2 ** 32;
}
