import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { isOwnInstaller } from './own-installer.ts';

const built = path.resolve(import.meta.dirname, '../../../dist/agent/install.sh');

it('knows the installer that was built with this program, and no other', () => {
  const digest = existsSync(built)
    ? `sha256:${createHash('sha256').update(readFileSync(built)).digest('hex')}`
    : null;
  expect(digest === null || isOwnInstaller(digest)).toBe(true);
  expect(isOwnInstaller(`sha256:${'d'.repeat(64)}`)).toBe(false);
});
