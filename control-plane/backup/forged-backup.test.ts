import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Description } from './frames.ts';
import { useBackupWorld } from './testing/backup-world.ts';

describe('a backup that somebody else made', { timeout: 60_000 }, () => {
  const its = useBackupWorld();

  it('is refused before anything is written when it holds what no data folder has', async () => {
    await its.backup('whole');
    for (const place of [
      'postgres/native-18/lib/libdl.so.2',
      'control-plane.pid',
      '.config/intervene',
      'ca/other',
    ]) {
      await its.forge('whole', 'forged', (frame) => {
        const isFirst = frame.type === 'description' && frame.description.kind === 'backup';
        if (!isFirst) return [frame];
        const description = { kind: 'file', path: place, mode: 0o755 } as const;
        return [
          frame,
          { type: 'description', description },
          { type: 'data', bytes: Buffer.from('x') },
        ];
      });
      await expect(its.restore('forged'), place).rejects.toThrow(`${place} in it is no file`);
      expect(await its.tablesOfTarget()).toBe(0);
      expect(() => statSync(its.at('restored.restoring'))).toThrow('ENOENT');
    }
  });

  it('saves nothing else that lies in the data folder', async () => {
    mkdirSync(path.join(its.data, '.config'));
    writeFileSync(path.join(its.data, '.config/own'), '');
    writeFileSync(path.join(its.data, 'admin-token'), 'token');
    expect((await its.backup('kept')).files).toEqual(['admin-token', 'ca/ca.crt', 'ca/ca.key']);
    await its.restore('kept');
    expect(readFileSync(its.at('restored/admin-token'), 'utf8')).toBe('token');
  });

  it('is refused when a table or the numbers are left out of it', async () => {
    await its.backup('whole');
    const without = async (isLeftOut: (description: Description) => boolean) => {
      let isSkipped = false;
      await its.forge('whole', 'forged', (frame) => {
        if (frame.type === 'description') isSkipped = isLeftOut(frame.description);
        return isSkipped ? [] : [frame];
      });
    };
    await without(
      ({ kind, ...more }) => kind === 'table' && 'name' in more && more.name === 'restorations',
    );
    await expect(its.restore('forged')).rejects.toThrow('the table restorations is not in it');
    await without(({ kind }) => kind === 'sequences');
    await expect(its.restore('forged')).rejects.toThrow('how far its numbers went is not in it');
    expect(() => statSync(its.at('restored'))).toThrow('ENOENT');
  });

  it('gives files to their owner alone, whatever it says of them', async () => {
    await its.backup('whole');
    await its.forge('whole', 'forged', (frame) => {
      if (frame.type === 'data' || frame.description.kind !== 'file') return [frame];
      return [{ ...frame, description: { ...frame.description, mode: 0o777 } }];
    });
    await its.restore('forged');
    for (const name of ['ca/ca.key', 'ca/ca.crt']) {
      expect([name, statSync(its.at(`restored/${name}`)).mode & 0o777]).toEqual([name, 0o600]);
    }
    expect(statSync(its.at('restored/ca')).mode & 0o777).toBe(0o700);
  });

  it('is restored only as the file whose digest was given', async () => {
    const lock = { kind: 'passphrase', passphrase: 'right' } as const;
    const [plain, sealed] = [await its.backup('plain'), await its.backup('sealed', lock)];
    const wrong = `sha256:${'0'.repeat(64)}`;
    await expect(its.restore('plain', { digest: wrong })).rejects.toThrow(plain.digest);
    await expect(its.restore('sealed', { key: lock, digest: plain.digest })).rejects.toThrow(
      sealed.digest,
    );
    expect(() => statSync(its.at('restored'))).toThrow('ENOENT');
    expect(await its.tablesOfTarget()).toBe(0);
    await its.restore('sealed', { key: lock, digest: sealed.digest });
  }, 180_000);
});
