import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEntries, writeOrder } from './boot-entries.ts';
import { addEntriesTo, takeBackFrom, type EntryRecord } from './write-entries.ts';
import { partitionSignature, writeLoadOption } from './load-option.ts';
import { FakeFirmware } from './testing/fake-firmware.ts';

const ATTRIBUTES = '07000000';
const ESP = 'b4668927-c99b-164f-a4e5-192da9b63bf0';
const entry = (file: string) =>
  writeLoadOption(
    'debian',
    { number: 1, start: 2048, sectors: 131_072, signature: partitionSignature(ESP)! },
    file,
  );
const ADDED = entry('\\EFI\\debian\\shimx64.efi');
const OTHER = entry('\\EFI\\Microsoft\\Boot\\bootmgfw.efi');
const order = (...numbers: number[]) => writeOrder(numbers).toString('hex');

let firmware: FakeFirmware;
let notes: string[];
let before: FakeFirmware['files'];
beforeEach(() => {
  firmware = new FakeFirmware();
  notes = [];
  firmware.has('Boot0000', ATTRIBUTES + OTHER.toString('hex'));
  // What nobody here can read is kept as well.
  firmware.has('Boot0002', `${ATTRIBUTES}ff`);
  firmware.has('BootOrder', ATTRIBUTES + order(0, 2));
  before = firmware.files;
});
afterEach(() => firmware.close());

function record(change: Partial<EntryRecord> = {}): EntryRecord {
  return {
    version: 1,
    variables: Object.fromEntries(
      Object.entries(before).map(([name, file]) => [name, file.slice(ATTRIBUTES.length)]),
    ),
    added: [{ number: 1, entry: ADDED.toString('hex') }],
    order: order(1, 0, 2),
    ...change,
  };
}
const add = (change?: Partial<EntryRecord>) => addEntriesTo(firmware.variables, record(change));
const takeBack = (change?: Partial<EntryRecord>) =>
  takeBackFrom({ note: (text) => void notes.push(text) }, firmware.variables, record(change));

describe('an entry that the firmware has not', () => {
  it('is added, every other stays as it is, and all is as before when it is taken back', async () => {
    await add();
    expect(firmware.files).toEqual({
      ...before,
      Boot0001: ATTRIBUTES + ADDED.toString('hex'),
      BootOrder: ATTRIBUTES + order(1, 0, 2),
    });
    await takeBack();
    expect(firmware.files).toEqual(before);
    await takeBack();
    expect([firmware.files, notes]).toEqual([before, []]);
  });

  it.each([0, 1, 2])(
    'is never half there where a kill leaves %s changes done, and can be taken back from there',
    async (changes) => {
      firmware.changesLeft = changes;
      const done = await add().then(
        () => true,
        () => false,
      );
      expect(done).toBe(changes === 2);
      const { entries, order: tried } = await readEntries(firmware.variables);
      expect(tried.filter((number) => !entries.has(number))).toEqual([]);
      for (let left = 0; left < 3; left++) {
        firmware.changesLeft = left;
        await takeBack().catch(() => undefined);
        const now = await readEntries(firmware.variables);
        expect(now.order.filter((number) => !now.entries.has(number))).toEqual([]);
      }
      firmware.changesLeft = Infinity;
      await takeBack();
      expect(firmware.files).toEqual(before);
    },
  );

  it('is refused in words that say what to do where the firmware takes no more', async () => {
    firmware.changesLeft = 0;
    await expect(add()).rejects.toMatchObject({
      reason: 'firmware_refused',
      message: expect.stringMatching(/Boot0001: its memory is full\. To go on without.*plan again/),
    });
    expect(firmware.files).toEqual(before);
  });

  it('does not hold where the firmware made something else of any entry', async () => {
    const write = firmware.variables.write.bind(firmware.variables);
    firmware.variables.write = async (name, content) => {
      await write(name, content);
      if (name === 'BootOrder') firmware.has('Boot0000', `${ATTRIBUTES}00`);
    };
    await expect(add()).rejects.toMatchObject({
      reason: 'firmware_refused',
      message: expect.stringContaining('Boot0000 otherwise'),
    });
  });

  it('is only put into the order, and taken out of it, where it was there and not tried', async () => {
    firmware.has('Boot0001', ATTRIBUTES + ADDED.toString('hex'));
    before = firmware.files;
    await add();
    expect(firmware.files).toEqual({ ...before, BootOrder: ATTRIBUTES + order(1, 0, 2) });
    await takeBack();
    expect(firmware.files).toEqual(before);
  });

  it('is the first of a firmware without any order, which then has none again', async () => {
    for (const name of ['Boot0000', 'Boot0002', 'BootOrder']) {
      await firmware.variables.remove(name);
    }
    before = firmware.files;
    const first = { order: order(1) };
    await add(first);
    expect(Object.keys(firmware.files)).toEqual(['Boot0001', 'BootOrder']);
    await takeBack(first);
    expect(firmware.files).toEqual({});
  });
});

describe('what became of the entries since', () => {
  it('stays in their order: only what was added goes', async () => {
    await add();
    firmware.has('Boot0003', ATTRIBUTES + OTHER.toString('hex'));
    firmware.has('BootOrder', ATTRIBUTES + order(3, 2, 1, 0));
    await takeBack();
    expect(firmware.files).toEqual({
      ...before,
      Boot0003: ATTRIBUTES + OTHER.toString('hex'),
      BootOrder: ATTRIBUTES + order(3, 2, 0),
    });
  });

  it('is told where another entry has the number now, which stays', async () => {
    await add();
    firmware.has('Boot0001', ATTRIBUTES + OTHER.toString('hex'));
    const now = firmware.files;
    await takeBack();
    expect(firmware.files).toEqual(now);
    expect(notes).toEqual(['Boot0001 is another entry than the job added: it stays.']);
  });

  it('makes no other entry of one that the firmware has marked', async () => {
    await add();
    firmware.has('Boot0001', `${ATTRIBUTES}${ADDED.toString('hex')}5243`);
    await takeBack();
    expect(firmware.files).toEqual(before);
  });
});
