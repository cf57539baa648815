import { beforeAll, describe, expect, it } from 'vitest';
import { isWhole } from '../fixtures/matrix.ts';
import { runFirmwareGuest, type FirmwareGuest } from './firmware-guest/firmware-guest.ts';

const WITHIN_MS = 40 * 60_000;
const LOADER = String.raw`\EFI\debian\shimx64.efi`;

describe.runIf(isWhole)('a machine whose firmware has lost its entry', () => {
  let guest: FirmwareGuest;
  beforeAll(async () => {
    guest = await runFirmwareGuest();
  }, WITHIN_MS);

  const of = (what: string) => guest.told.find((one) => one.what === what)!;
  const variablesAt = (what: string) => of(what)['variables'] as Record<string, string>;
  const shownAt = (what: string) => of(what)['shown'] as string;
  const planAt = (what: string) => of(what)['plan'] as { findings: string[]; steps: Step[] };
  interface Step {
    id: string;
    changes: { argv: string[] }[];
  }
  /** Of the entry for the loader, as efibootmgr(8) shows it. */
  const numberAt = (what: string) => /^Boot([0-9A-F]{4})\* debian\t/m.exec(shownAt(what))?.[1];

  /** Of BootOrder as a file: four bytes of attributes, then numbers of two bytes, the lower first. */
  const numbersIn = (file: string) =>
    (file.slice(8).match(/.{4}/g) ?? []).map((two) =>
      (two.slice(2) + two.slice(0, 2)).toUpperCase(),
    );

  it('is planned for also where nobody has mounted its variables', () => {
    const { disk } = of('before');
    expect(of('a plan')).toMatchObject({ outcome: 'succeeded', reason: null, disk });
    const { findings, steps } = planAt('a plan');
    expect(findings).toEqual([
      'The firmware has no entry that starts EFI/debian/shimx64.efi on partition 1 of /dev/vdb.',
    ]);
    expect(steps.map(({ id }) => id)).toEqual(['save', 'loader', 'verify']);
    expect(steps[1]!.changes.map(({ argv }) => argv.slice(0, 2))).toEqual([
      ['efibootmgr', '--create-only'],
      ['efibootmgr', '--bootorder'],
    ]);
  });

  it('gets an entry that efibootmgr reads, and every other stays byte for byte, in its order', () => {
    expect(of('the repair')).toMatchObject({
      ...{ outcome: 'succeeded', result: { outcome: 'repaired' } },
      disk: of('before')['disk'],
    });
    const number = numberAt('the repair')!;
    const entry = shownAt('the repair')
      .split('\n')
      .find((line) => line.startsWith(`Boot${number}`));
    expect(entry).toMatch(/^Boot....\* debian\tHD\(1,GPT,[0-9a-f-]{36},0x800,0x20000\)\/File\(/);
    expect(entry).toContain(`File(${LOADER})`);
    const { [`Boot${number}`]: added, BootOrder: order, ...others } = variablesAt('the repair');
    const { BootOrder: orderBefore, ...othersBefore } = variablesAt('before');
    expect(added).toBeDefined();
    expect(others).toEqual(othersBefore);
    const its = numbersIn(order!);
    expect(its.filter((one) => one !== number)).toEqual(numbersIn(orderBefore!));
    expect(its).toContain(number);
    expect(planAt('a second plan').steps).toEqual([]);
  });

  it('is as it was after the undo', () => {
    expect(of('the undo')).toMatchObject({
      ...{ outcome: 'succeeded', result: { outcome: 'restored' } },
      variables: variablesAt('before'),
      disk: of('before')['disk'],
    });
  });

  it('is left alone where its variables are read-only, and the plan says so', () => {
    expect(planAt('a plan where nobody may write')).toMatchObject({
      steps: [],
      findings: [
        'No entry of the firmware is written, since its variables are mounted read-only: the removable path of the EFI partition starts the system.',
      ],
    });
  });

  it('starts the system by that entry', () => {
    expect(guest.started).toContain(`"debian" from HD(1,GPT,`);
    expect(guest.started).toContain(LOADER);
  });
});
