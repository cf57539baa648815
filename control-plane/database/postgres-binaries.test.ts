import { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyPostgresBinaries, majorVersion, removeOtherBinaries } from './postgres-binaries.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'ivbin-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the copy of PostgreSQL', () => {
  it('runs, can be read by whoever it runs as, and has its libraries linked', () => {
    const { folder, major } = copyPostgresBinaries(directory);
    expect(major).toBeGreaterThanOrEqual(18);
    expect(statSync(folder).mode & 0o055).toBe(0o055);
    expect(statSync(path.join(folder, 'bin/postgres')).mode & 0o055).toBe(0o055);
    expect(readlinkSync(path.join(folder, 'lib/libpq.so.5'))).toMatch(/^libpq\.so\.5\.\d+$/);
  });

  it('is made once, and takes the place of those of other versions', () => {
    const first = copyPostgresBinaries(directory);
    const made = statSync(first.folder).ino;
    mkdirSync(path.join(directory, 'native-1.0'));
    mkdirSync(path.join(directory, 'data'));
    expect(copyPostgresBinaries(directory)).toEqual(first);
    expect(statSync(first.folder).ino).toBe(made);
    removeOtherBinaries(directory, first.folder);
    expect(existsSync(path.join(directory, 'native-1.0'))).toBe(false);
    expect(existsSync(path.join(directory, 'data'))).toBe(true);
    expect(existsSync(first.folder)).toBe(true);
  });

  it('that does not run is refused with the reason', () => {
    expect(() => majorVersion(directory)).toThrow(/does not run: .*ENOENT/);
  });
});
