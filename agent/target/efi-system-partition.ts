/** By GPT type (UEFI 2.10, section 5.3.3) and by MBR type. */
const TYPES = new Set(['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', '0xef']);

/** Whether a partition's type says that firmware looks for boot loaders on it. */
export function isEfiSystemPartition(partitionType: string | null): boolean {
  return TYPES.has(partitionType?.toLowerCase() ?? '');
}
