import { describe, expect, it } from 'vitest';
import { finding } from '../../../../proto/actions/diagnostics.ts';
import { packagesRepairParameters } from '../../../../proto/actions/packages.ts';
import { ProbeFixture } from '../testing/probe-fixture.ts';
import { judgeDuplicates, judgeLacking, rpmPackages } from './rpm-packages.ts';

const noarch = (name: string, evr: string) => ({ name, architecture: 'noarch', evr });

describe('packages that rpm keeps', () => {
  it('are told of where two versions are there', () => {
    const found = judgeDuplicates([{ stays: noarch('a', '2-1'), goes: [noarch('a', '1-1')] }]);
    expect(found).toMatchObject([
      {
        rule: 'pkg.duplicate',
        subject: 'a',
        suggestion: { action: 'packages.repair', parameters: {} },
      },
    ]);
    expect(found[0]!.evidence[0]!.text).toBe('a-2-1.noarch beside a-1-1.noarch');
    expect(judgeDuplicates([])).toEqual([]);
  });

  it('are told of where they lack others, with the names that the repair needs', () => {
    const lines = [
      'alpha-extra >= 1 is needed by (installed) alpha-2.0-1.noarch',
      'libz.so.1()(64bit) is needed by (installed) beta-1-1.x86_64',
    ];
    const [found] = judgeLacking(lines);
    expect(found).toMatchObject({
      rule: 'pkg.broken_dependencies',
      subject: 'alpha-extra >= 1, libz.so.1()(64bit)',
    });
    const parameters = packagesRepairParameters.parse(found!.suggestion!.parameters);
    expect(parameters).toEqual({ packages: ['alpha-extra'] });
    expect(judgeLacking(lines.slice(1))[0]!.suggestion!.parameters).toEqual({});
    expect(judgeLacking([])).toEqual([]);
  });

  it('are told of where they rule each other out, which is left to a person', () => {
    const [found, ...more] = judgeLacking(['svc conflicts with (installed) foe-1-1.noarch']);
    expect(found).toMatchObject({ rule: 'pkg.conflict', suggestion: null });
    expect(found!.title).toContain('svc conflicts with (installed) foe-1-1.noarch');
    expect(more).toEqual([]);
  });

  it('are told of within bounds, however much is wrong', () => {
    const many = Array.from({ length: 500 }, (_, at) => `${'x'.repeat(200)}${at}`);
    const found = [
      ...judgeDuplicates(
        many.map((name) => ({ stays: noarch(name, '2-1'), goes: [noarch(name, '1-1')] })),
      ),
      ...judgeLacking(many.map((name) => `${name} is needed by (installed) y-1-1.noarch`)),
      ...judgeLacking(many.map((name) => `${name} conflicts with (installed) y-1-1.noarch`)),
    ];
    const read = found.map((one) => finding.safeParse({ ...one, area: 'packages' }).success);
    expect(read).toEqual([true, true, true]);
  });

  it('are not missed where packages are kept otherwise', async () => {
    const system = await ProbeFixture.create();
    await expect(system.look(rpmPackages)).rejects.toThrow('not kept by rpm');
    await system.close();
  });
});
