import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataFolderInUseError, openDataFolder } from './data-folder.ts';

let directory: string;
beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(tmpdir(), 'ivdf-')), 'data');
});
afterEach(() => {
  rmSync(path.dirname(directory), { recursive: true });
});

/** Another control plane, as far as the folder is concerned. */
function holdElsewhere() {
  const module = path.join(import.meta.dirname, 'data-folder.ts');
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `const { openDataFolder } = await import(${JSON.stringify(module)});
       await openDataFolder(process.argv[1]);
       console.log('held'); setInterval(() => {}, 1000);`,
      directory,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const held = new Promise((resolve) => child.stdout.once('data', resolve));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  return { child, held, exited };
}

describe('a data folder', () => {
  it('is made when absent and says who works on it', async () => {
    const folder = await openDataFolder(directory);
    expect(readFileSync(path.join(directory, 'control-plane.pid'), 'utf8')).toBe(
      `${process.pid}\n`,
    );
    expect(statSync(directory).mode & 0o066).toBe(0);
    await folder.release();
    expect(readFileSync(path.join(directory, 'control-plane.pid'), 'utf8')).toBe('');
  });

  it('is never used by two, in one process or in several', async () => {
    const other = holdElsewhere();
    await other.held;
    const again = () => openDataFolder(directory, { patienceMs: 200 });
    await expect(again()).rejects.toThrow(DataFolderInUseError);
    await expect(again()).rejects.toThrow(`process ${other.child.pid}`);
    other.child.kill('SIGKILL');
    await other.exited;
    const folder = await openDataFolder(directory);
    await expect(again()).rejects.toThrow(DataFolderInUseError);
    await folder.release();
    await (await openDataFolder(directory)).release();
  });

  it('is free again when its owner was killed, whoever has its process id now', async () => {
    const other = holdElsewhere();
    await other.held;
    other.child.kill('SIGKILL');
    await other.exited;
    writeFileSync(path.join(directory, 'control-plane.pid'), `${process.pid}\n`);
    await expect(openDataFolder(directory).then((own) => own.release())).resolves.toBeUndefined();
  });

  it('keeps secrets for its owner, whatever was there before', async () => {
    const folder = await openDataFolder(directory);
    writeFileSync(folder.adminTokenFile, 'old');
    chmodSync(folder.adminTokenFile, 0o644);
    folder.writeSecret(folder.adminTokenFile, 'new\n');
    expect(readFileSync(folder.adminTokenFile, 'utf8')).toBe('new\n');
    expect(statSync(folder.adminTokenFile).mode & 0o777).toBe(0o600);
    await folder.release();
  });
});
