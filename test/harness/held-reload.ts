import type { BootedDebian } from './booted-debian.ts';
import { eventually } from './process.ts';

/** While the first file is there, systemd does not get done with reading its files; the second says that it is at it. */
const HOLD = '/srv/hold-reload';
const HELD = '/srv/reload-held';
const GENERATOR = '/etc/systemd/system-generators/held';
const SCRIPT = [
  '#!/bin/sh',
  `[ -e ${HOLD} ] || exit 0`,
  `: > ${HELD}`,
  `while [ -e ${HOLD} ]; do sleep 0.1; done`,
  `rm ${HELD}`,
  '',
].join('\n');

/** A booted Debian whose systemd can be held while it reads its files, so that somebody comes in between. */
export class HeldReload {
  private readonly debian: BootedDebian;

  private constructor(debian: BootedDebian) {
    this.debian = debian;
  }

  static async install(debian: BootedDebian): Promise<HeldReload> {
    await debian.write(GENERATOR, SCRIPT, '0755');
    return new HeldReload(debian);
  }

  async hold(): Promise<void> {
    await this.debian.write(HOLD, '');
  }

  async release(): Promise<void> {
    await this.debian.ok(['rm', '-f', HOLD]);
  }

  /** Resolves when systemd reads its files, and is held. */
  async held(): Promise<void> {
    await eventually('systemd reads its files', () => this.exists(HELD), 60_000);
  }

  async exists(file: string): Promise<boolean> {
    return (await this.debian.exec(['test', '-e', file])).status === 0;
  }
}
