import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServiceManager } from './systemd.ts';
import type { ServiceManager } from './systemd.ts';

const soon = { timeout: 30_000 };

let folder: string;
let manager: ServiceManager | undefined;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-sd-'));
});
afterEach(() => {
  manager?.close();
  rmSync(folder, { recursive: true, force: true });
});

const log = pino({ level: 'silent' });
const said = () => {
  try {
    return readFileSync(path.join(folder, 'said'), 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};

/** Writes down what it is told instead of telling a service manager. */
function recorder(): string {
  const program = path.join(folder, 'notify');
  const script = `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${path.join(folder, 'said')}\n`;
  writeFileSync(program, script, { mode: 0o755 });
  return program;
}

describe('createServiceManager', () => {
  it('tells the manager when the agent is ready, how it is, and that it stops', async () => {
    const options = { notifySocket: '/run/n', watchdogUsec: undefined, log, program: recorder() };
    manager = createServiceManager(options);
    manager.ready('started');
    await expect.poll(said, soon).toEqual(['/run/n READY=1 STATUS=started']);
    manager.status('connected: cp:1');
    await expect.poll(said, soon).toContain('/run/n STATUS=connected: cp:1');
    manager.stopping();
    await expect.poll(said, soon).toContain('/run/n STOPPING=1');
  });

  it('is heard in the order in which it speaks', async () => {
    const options = { notifySocket: '/run/n', watchdogUsec: undefined, log, program: recorder() };
    manager = createServiceManager(options);
    for (let count = 0; count < 10; count++) manager.status(String(count));
    await expect.poll(() => said().length, soon).toBe(10);
    expect(said()).toEqual(said().toSorted());
  });

  it('feeds the watchdog more often than it asks for', async () => {
    const options = { notifySocket: '/run/n', watchdogUsec: '300000', log, program: recorder() };
    manager = createServiceManager(options);
    await expect.poll(() => said().length, soon).toBeGreaterThanOrEqual(3);
    expect(said()[0]).toBe('/run/n WATCHDOG=1');
    manager.close();
    await delay(150);
    const count = said().length;
    await delay(250);
    expect(said().length).toBe(count);
  });

  it('does nothing where no manager listens', async () => {
    const options = { notifySocket: undefined, watchdogUsec: '1000', log, program: recorder() };
    manager = createServiceManager(options);
    manager.ready('started');
    await delay(100);
    expect(said()).toEqual([]);
  });

  it('survives a manager that cannot be told', async () => {
    const program = path.join(folder, 'none');
    manager = createServiceManager({ notifySocket: '/run/n', watchdogUsec: '30000', log, program });
    manager.ready('started');
    await delay(100);
    expect(said()).toEqual([]);
  });
});
