import assert from 'node:assert/strict';
import { copyFileSync, truncateSync } from 'node:fs';
import type { FaultDisk } from '../fault-disk.ts';
import type { Fault, RepairedFault } from './fault.ts';
import { keepArchive } from './keep-archive.ts';

function packages(
  fault: Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
    Partial<RepairedFault>,
): RepairedFault {
  return { proof: 'repair', disk: 'bios-gpt', action: 'packages.repair', undo: 'files', ...fault };
}

const requireNothingOpen = (disk: FaultDisk) =>
  disk.look(async (system) => {
    assert.equal(await system.ok(['dpkg', '--audit']), '');
  });

export const packageFaults: readonly Fault[] = [
  packages({
    id: 'W01',
    title: 'dpkg was interrupted',
    finding: 'pkg.half_configured',
    // The times in dpkg's logs.
    makesNew: true,
    inject: (disk) =>
      disk.inside((system) =>
        system.edit('var/lib/dpkg/status', (text) =>
          text.replace(/^(Package: less\nStatus: install ok) installed$/m, '$1 half-configured'),
        ),
      ),
    check: requireNothingOpen,
  }),
  packages({
    id: 'W02',
    title: 'the record of installed packages is empty',
    finding: 'pkg.db_empty',
    inject: (disk) =>
      disk.inside((system) => {
        const status = system.path('var/lib/dpkg/status');
        copyFileSync(status, `${status}-old`);
        truncateSync(status);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const listed = await system.ok(['dpkg-query', '--show', '--showformat=${Package}\n']);
        assert.ok(listed.split('\n').length > 150, 'dpkg knows too few packages');
      }),
  }),
  packages({
    id: 'W03',
    title: 'a list of package sources is malformed',
    finding: 'pkg.sources',
    inject: (disk) =>
      disk.inside((system) =>
        system.write('etc/apt/sources.list.d/shop.list', 'deb http://packages.shop.example\n'),
      ),
    check: (disk) => disk.look(async (system) => void (await system.ok(['apt-cache', 'policy']))),
  }),
  packages({
    id: 'W04',
    title: 'a library that packages need was removed',
    finding: 'pkg.broken_dependencies',
    makesNew: true,
    inject: (disk) =>
      disk.inside(async (system) => {
        await keepArchive(system, 'libnftables1:amd64');
        await system.ok(['dpkg', '--force-depends', '--remove', 'libnftables1']);
      }),
    check: (disk) => disk.look(async (system) => void (await system.ok(['apt-get', 'check']))),
  }),
  {
    id: 'W05',
    title: 'the key of a package source has expired',
    proof: 'recorded',
    test: 'agent/actions/packages/apt-messages.test.ts',
    why: 'a package source whose key has expired is needed',
  },
  {
    id: 'W06',
    title: 'the database of rpm is damaged',
    proof: 'recorded',
    test: 'agent/actions/packages/rpm/rpm-repair.test.ts',
    why: 'no whole system with rpm is here; its record is damaged and built anew by the real rpm',
  },
];
