import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture } from '../testing/probe-fixture.ts';
import { securityLabels } from './security-labels.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
  await system.write(
    'etc/selinux/config',
    '# as RHEL has it\nSELINUX=enforcing\nSELINUXTYPE=targeted\n',
  );
  for (const file of ['etc/passwd', 'etc/shadow']) await system.write(file, '');
});
afterEach(() => system.close());

const label = (file: string, type: string) =>
  execFileSync('setfattr', [
    ...['--name', 'security.selinux', '--value', `system_u:object_r:${type}:s0`],
    system.path(file),
  ]);

// Only root may set such an attribute, and the kernel keeps it whether or not it runs SELinux.
describe.runIf(process.getuid?.() === 0)('a system with SELinux', () => {
  it('is told of files that were written without it', async () => {
    label('etc/passwd', 'passwd_file_t');
    const found = await system.look(securityLabels);
    expect(names(found)).toEqual(['sel.relabel_needed /etc/shadow']);
    expect(found).toMatchObject([
      { severity: 'critical', suggestion: { action: 'access.repair-accounts' } },
    ]);
  });

  it('knows the label of what a kernel with SELinux found without one', async () => {
    label('etc/passwd', 'unlabeled_t');
    label('etc/shadow', 'shadow_t');
    expect(names(await system.look(securityLabels))).toEqual(['sel.relabel_needed /etc/passwd']);
  });

  it('is well where every file has its label', async () => {
    label('etc/passwd', 'passwd_file_t');
    label('etc/shadow', 'shadow_t');
    expect(await system.look(securityLabels)).toEqual([]);
  });
});

describe('labels', () => {
  it('are not missed where SELinux is not used, or will label everything anyway', async () => {
    writeFileSync(system.path('.autorelabel'), '');
    await expect(system.look(securityLabels)).rejects.toThrow('anew');
    await system.write('etc/selinux/config', 'SELINUX=disabled\n');
    await expect(system.look(securityLabels)).rejects.toThrow('not used');
  });
});
