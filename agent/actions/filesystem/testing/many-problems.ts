import { debugfs, makeExt4 } from '../../../../test/fixtures/damaged-ext4.ts';

/** So many that what e2fsck says about them does not fit in a pipe: it waits while nobody reads. */
export const MANY = 2_000;

/** A file system in which each of many links has lost its inode. */
export async function makeManyProblems(image: string): Promise<void> {
  await makeExt4(image);
  const names = Array.from({ length: MANY }, (_, index) => `/many/name-of-link-${index}`);
  await debugfs(image, ['mkdir /many', ...names.map((name) => `symlink ${name} x`)]);
  await debugfs(
    image,
    names.map((name) => `clri ${name}`),
  );
}
