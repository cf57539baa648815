import { expect, it } from 'vitest';
import { AptProgress } from './apt-progress.ts';

function follow(...pieces: string[]) {
  const seen: [string, number | null, string][] = [];
  const progress = new AptProgress(
    { progress: (phase, percent, text) => void seen.push([phase, percent, text]) },
    'installing',
  );
  pieces.forEach((piece) => progress.take(Buffer.from(piece)));
  return { seen, errors: progress.errors };
}

it('reads lines however they are cut', () => {
  const { seen } = follow(
    'dlstatus:1:10.5:Retr',
    'ieving file\npmstatus:curl:60.0:Unpacking curl\n',
  );
  expect(seen).toEqual([
    ['installing', 11, 'Retrieving file'],
    ['installing', 60, 'Unpacking curl'],
  ]);
});

it('tells steps smaller than a percent once', () => {
  const { seen } = follow('pmstatus:a:10:x\npmstatus:a:10.2:x\npmstatus:a:11.5:x\n');
  expect(seen.map(([, percent]) => percent)).toEqual([10, 12]);
});

it('keeps which package failed and why', () => {
  const { errors, seen } = follow(
    'pmerror:/a/curl.deb:60:post-installation script subprocess returned error exit status 7\n',
  );
  expect(errors).toEqual([
    {
      name: '/a/curl.deb',
      message: 'post-installation script subprocess returned error exit status 7',
    },
  ]);
  expect(seen).toEqual([]);
});

it('ignores what is no such line, of any length', () => {
  expect(follow('pmstatus:\n', `${'x'.repeat(100_000)}\n`, 'other:a:1:b\n').seen).toEqual([]);
});
