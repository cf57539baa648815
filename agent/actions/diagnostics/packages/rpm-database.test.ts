import { describe, expect, it } from 'vitest';
import { ProbeFixture } from '../testing/probe-fixture.ts';
import { judgeRpm, rpmDatabase } from './rpm-database.ts';

const DATABASE = '/var/lib/rpm/rpmdb.sqlite';
const TABLE =
  "CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";

/** What rpm 4.18 said of a database that was damaged so. */
const said = {
  'whose head is gone': [
    `error: sqlite failure: ${TABLE}: file is not a database`,
    'error: cannot open Packages index using sqlite - No such file or directory (2)',
    'error: cannot open Packages database in /var/lib/rpm',
  ],
  'of which pages are garbage, with exit status 0': [
    "error: SELECT hnum, idx FROM 'Name' WHERE key=?: 11: database disk image is malformed",
    "error: SELECT hnum, blob FROM 'Packages': 11: database disk image is malformed",
  ],
  'that is cut short': [
    `error: sqlite failure: ${TABLE}: database disk image is malformed`,
    'error: cannot open Packages index using sqlite - No such file or directory (2)',
    'error: cannot open Packages database in /var/lib/rpm',
  ],
  'that is empty, and may not be filled by who only looks': [
    `error: sqlite failure: ${TABLE}: attempt to write a readonly database`,
    'error: cannot open Packages index using sqlite - No such file or directory (2)',
    'error: cannot open Packages database in /var/lib/rpm',
  ],
};

describe("rpm's record of installed packages", () => {
  it.each(Object.entries(said))('is told of, %s', (_, lines) => {
    const found = judgeRpm(lines.join('\n'), DATABASE);
    expect(found).toMatchObject([
      {
        rule: 'pkg.rpm_db',
        severity: 'critical',
        subject: DATABASE,
        suggestion: { action: 'packages.repair', parameters: {} },
      },
    ]);
    expect(found[0]!.evidence[0]!.text).toContain(lines[0]);
  });

  it('is well where rpm says nothing of it', () => {
    expect(judgeRpm('', DATABASE)).toEqual([]);
    expect(
      judgeRpm('warning: Generating 18 missing index(es), please wait...\n', DATABASE),
    ).toEqual([]);
  });

  it('is not missed where packages are kept otherwise', async () => {
    const system = await ProbeFixture.create();
    await expect(system.look(rpmDatabase)).rejects.toThrow('not kept by rpm');
    await system.close();
  });
});
