import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identity } from '../proto/documents/fields.ts';
import { collectFacts, identityOf, readBootId } from './facts.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'iv-fa-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, content: string): void {
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
  writeFileSync(path.join(root, name), content);
}

describe('collectFacts', () => {
  it('reads what identifies a machine', () => {
    put('etc/machine-id', '0123456789abcdef0123456789abcdef\n');
    put('sys/class/dmi/id/product_serial', 'ABC-123  \n');
    put('sys/class/net/lo/address', '00:00:00:00:00:00\n');
    put('sys/class/net/eth1/address', '52:54:00:AB:CD:02\n');
    put('sys/class/net/eth0/address', '52:54:00:ab:cd:01\n');
    put('sys/class/net/tun0/address', '\n');
    put('etc/os-release', 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n');
    put('proc/sys/kernel/random/boot_id', 'boot\n');
    const facts = collectFacts(root);
    expect(facts).toMatchObject({
      hostname: os.hostname(),
      machineId: '0123456789abcdef0123456789abcdef',
      serial: 'ABC-123',
      macAddresses: ['52:54:00:ab:cd:01', '52:54:00:ab:cd:02'],
      os: 'Debian GNU/Linux 12 (bookworm)',
      kernel: os.release(),
    });
    expect(identity.parse(identityOf(facts))).toEqual(identityOf(facts));
    expect(readBootId(root)).toBe('boot');
  });

  it('says nothing where nothing can be read, and goes on', () => {
    const facts = collectFacts(root);
    expect(facts).toMatchObject({ machineId: '', serial: '', macAddresses: [], os: '' });
    expect(identityOf(facts)).toEqual({ macAddresses: [], hostname: os.hostname() });
    expect(readBootId(root)).toBe('');
  });

  it('keeps to the lengths that orders allow', () => {
    put('etc/machine-id', 'x'.repeat(5000));
    put('sys/class/dmi/id/product_serial', 'y'.repeat(5000));
    put('etc/os-release', `PRETTY_NAME=${'z'.repeat(5000)}\n`);
    for (let index = 0; index < 100; index++) {
      put(
        `sys/class/net/e${index}/address`,
        `02:00:00:00:00:${index.toString(16).padStart(2, '0')}`,
      );
    }
    const facts = collectFacts(root);
    expect(facts.os.length).toBe(200);
    expect(() => identity.parse(identityOf(facts))).not.toThrow();
  });
});
