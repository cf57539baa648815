import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { variablesIn, type FirmwareVariables } from '../firmware-variables.ts';

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';

/** A folder as efivarfs shows a firmware's variables, of which every change can be the last. */
export class FakeFirmware {
  readonly folder = mkdtempSync(join(tmpdir(), 'iv-efivars-'));
  readonly variables: FirmwareVariables;
  /** Changes until the firmware takes no more. */
  changesLeft = Infinity;

  constructor() {
    const kernel = variablesIn(this.folder);
    this.variables = {
      ...kernel,
      write: async (name, content) => {
        this.change();
        // Of a file a shorter content would leave the end of the longer one.
        rmSync(this.pathOf(name), { force: true });
        await kernel.write(name, content);
      },
      remove: async (name) => {
        this.change();
        await kernel.remove(name);
      },
    };
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @param file the whole of it in hexadecimal, as hexdump(1) shows a file of efivarfs */
  has(name: string, file: string): void {
    writeFileSync(this.pathOf(name), Buffer.from(file.replaceAll(/\s/g, ''), 'hex'));
  }

  /** Every file and its content in hexadecimal. */
  get files(): Record<string, string> {
    const names = readdirSync(this.folder).toSorted();
    return Object.fromEntries(
      names.map((name) => [name.slice(0, -GLOBAL.length - 1), this.read(name)]),
    );
  }

  private read(name: string): string {
    return readFileSync(join(this.folder, name)).toString('hex');
  }

  private pathOf(name: string): string {
    return join(this.folder, `${name}-${GLOBAL}`);
  }

  private change(): void {
    if (this.changesLeft-- <= 0) throw Object.assign(new Error('killed'), { code: 'ENOSPC' });
  }
}
