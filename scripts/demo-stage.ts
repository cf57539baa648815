import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { styleText } from 'node:util';
import { run } from '../test/harness/process.ts';
import type { Finished } from '../test/harness/process.ts';

export const root = path.dirname(import.meta.dirname);
const intervene = path.join(root, 'scripts/intervene');

export const bold = (text: string) => styleText('bold', text, { stream: process.stdout });
const dim = (text: string) => styleText('dim', text, { stream: process.stdout });

/** What the demo plays on: a folder for everything it makes, and commands shown as a person would type them. */
export class DemoStage {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'iv-demo-'));
  /** Where the programs keep the profiles of the demo's people. */
  readonly home = this.file('home');
  private chapter = 0;
  private readonly remains: (() => Promise<void> | void)[] = [];

  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** Takes away, at the latest when the demo ends or is stopped, what an act has made outside of the folder. */
  afterwards(remove: () => Promise<void> | void): void {
    this.remains.push(remove);
  }

  async clear(): Promise<void> {
    for (let remove = this.remains.pop(); remove !== undefined; remove = this.remains.pop()) {
      await remove();
    }
  }

  heading(text: string): void {
    this.chapter++;
    console.log(`\n${bold(`${this.chapter}. ${text}`)}`);
  }

  /** What the demo itself does or has seen, beside the commands. */
  say(text: string): void {
    console.log(`  ${text.replaceAll(this.folder, '.')}`);
  }

  typed(program: string, words: readonly string[]): void {
    const quoted = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`));
    console.log(`${dim('$')} ${program} ${quoted.join(' ')}`);
  }

  /** Runs a command of the product and lets its output through, as a person would see it. */
  async show(words: readonly string[], expected = 0): Promise<void> {
    this.typed('intervene', words);
    const child = spawn(intervene, [...words], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, INTERVENE_HOME: this.home },
    });
    const [status] = (await once(child, 'close')) as [number | null];
    if (status !== expected) throw new Error(`ended with ${status}, not ${expected}`);
  }

  /** Shows a command, and keeps what it prints to itself. */
  async quiet(words: readonly string[]): Promise<Finished> {
    this.typed('intervene', words);
    return this.unseen(words);
  }

  /** `quiet`, for what it prints. */
  async json<T>(words: readonly string[]): Promise<T> {
    return JSON.parse((await this.quiet([...words, '--json'])).stdout) as T;
  }

  /** Asks what a person has read above. */
  async unseen(words: readonly string[]): Promise<Finished> {
    const done = await run([intervene, ...words], { env: { INTERVENE_HOME: this.home } });
    if (done.status !== 0) throw new Error(`ended with ${done.status}: ${done.stderr}`);
    return done;
  }
}
