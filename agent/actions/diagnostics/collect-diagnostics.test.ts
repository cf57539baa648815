import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diagnosticsResult, type DiagnosticsResult } from '../../../proto/actions/diagnostics.ts';
import { probes } from './probes.ts';
import { treeDigest } from './testing/probe-fixture.ts';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { Jobs } from '../../jobs/job.ts';

describe('a diagnosis in the runner’s sandbox', { timeout: 60_000 }, () => {
  let fixture: JobsFixture;
  let jobs: Jobs;
  beforeEach(async () => {
    fixture = await JobsFixture.create();
    jobs = fixture.agent();
    await jobs.load();
  });
  afterEach(() => fixture.close());

  async function collect(areas?: string[]): Promise<DiagnosticsResult> {
    const parameters = areas === undefined ? {} : { areas };
    const job = await jobs.start(fixture.spec({ action: 'diagnostics.collect', parameters }), {});
    const end = await ended(job);
    expect(end, (await output(job, 'note')).toString()).toMatchObject({ outcome: 'succeeded' });
    return diagnosticsResult.parse(end.result);
  }

  it('looks at all of this machine within 5 s, and changes nothing', async () => {
    const folders = ['/etc/ssh', '/etc/pam.d', '/etc/security', '/etc/systemd'];
    const digests = () => folders.map(treeDigest);
    const before = digests();
    const result = await collect();
    expect(digests()).toEqual(before);
    expect(result.durationMs).toBeLessThan(5_000);
    expect(result.probes).toHaveLength(probes.length);
    const failed = result.probes.filter(({ outcome }) => outcome === 'probe_failed');
    expect(failed.filter(({ detail }) => !detail.endsWith('is not installed'))).toEqual([]);
    expect(result.facts).toMatchObject({
      kernel: release(),
      hostname: hostname(),
      filesystems: expect.arrayContaining([
        expect.objectContaining({ mountPoint: '/' }),
      ]) as unknown,
    });
  });

  it('looks at the areas it was asked for, and at no others', async () => {
    const result = await collect(['ssh', 'packages']);
    const areas = [...result.findings, ...result.probes].map(({ area }) => area);
    expect(new Set(areas)).toEqual(new Set(['ssh', 'packages']));
  });

  it('says what it could not look at when nothing was observed, and the rest all the same', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ivb-'));
    const bwrap = join(folder, 'bwrap');
    // Starts runners, and nothing else.
    await writeFile(
      bwrap,
      '#!/bin/sh\ncase "$*" in *--info-fd*) exec /usr/bin/bwrap "$@";; esac\nexit 1\n',
      { mode: 0o755 },
    );
    jobs = fixture.agent({ bwrapPath: bwrap });
    await jobs.load();
    const result = await collect(['filesystems', 'accounts']);
    await rm(folder, { recursive: true });
    expect(result.probes).toContainEqual(
      expect.objectContaining({ probe: 'filesystems.space', outcome: 'done' }),
    );
    expect(result.findings.filter(({ rule }) => rule.startsWith('fs.full'))).toEqual([]);
  });
});
