import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findAction } from '../../proto/actions/catalogue.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import type { Stack } from '../harness/stack.ts';
import { DiskOrders } from './disk-orders.ts';
import type { Ended, Made, Parameters } from './disk-orders.ts';
import { bytesOf, differences, pictureOf, strangers } from './disk-picture.ts';
import type { DiskPicture } from './disk-picture.ts';
import { FaultDisk } from './fault-disk.ts';
import type { RepairedFault, ReportedFault } from './faults/fault.ts';
import { rolesOf } from './layouts.ts';
import { bootsToLogin } from './virtual-machine.ts';

/** Where a job sees the partitions of the first disk of its order, before their number. */
const PARTITIONS_OF_A_JOB = '/run/intervene/disks/1p';

export interface ProofOptions {
  /** From 0 to 1: how far the second repair comes before it is killed. */
  killAt: number;
  /** Whether a repaired disk is booted, where its fault says so. */
  boot: boolean;
}

/**
 * One fault through the whole product: found by a diagnosis that changes no byte, planned, repaired by the
 * plan, looked at with the tool people would use; nothing on the whole disk but what the plan lists is changed,
 * and a repaired file system holds what it held before the fault; a second plan has nothing to do; the undo gives the broken disk back; a repair that is killed leaves each file old or
 * new, and is undone from there. Throws what is not so.
 */
export async function proveRepair(
  stack: Stack,
  fault: RepairedFault,
  options: ProofOptions,
): Promise<void> {
  const disk = await FaultDisk.copy(fault.disk);
  try {
    await new RepairProof(stack, fault, disk).run(options);
  } finally {
    disk.close();
  }
}

/** A fault that is told of and left alone: no byte changes, and no action is offered for it. */
export async function proveReport(stack: Stack, fault: ReportedFault): Promise<void> {
  const disk = await FaultDisk.copy(fault.disk);
  try {
    await fault.inject(disk);
    await assert.rejects(fault.check(disk, { password: '' }), 'the fault is not there');
    const bytes = await bytesOf(disk);
    const findings = await new DiskOrders(stack, disk.image).diagnose();
    const found = findings.find(({ rule }) => rule === fault.finding);
    assert.ok(found, `found only ${findings.map(({ rule }) => rule).join(', ') || 'nothing'}`);
    assert.equal(found.suggestion, null, 'it is offered to be repaired');
    assert.notEqual(found.byHand, '');
    await requireUntouched(disk, bytes);
  } finally {
    disk.close();
  }
}

async function requireUntouched(disk: FaultDisk, bytes: DiskPicture): Promise<void> {
  assert.deepEqual(differences(bytes, await bytesOf(disk)), [], 'looking has changed the disk');
}

class RepairProof {
  private readonly stack: Stack;
  private readonly fault: RepairedFault;
  private readonly disk: FaultDisk;
  private readonly orders: DiskOrders;

  constructor(stack: Stack, fault: RepairedFault, disk: FaultDisk) {
    this.stack = stack;
    this.fault = fault;
    this.disk = disk;
    this.orders = new DiskOrders(stack, disk.image);
  }

  async run({ killAt, boot }: ProofOptions): Promise<void> {
    const { fault, disk, orders } = this;
    const healthy = fault.undo === 'bytes' ? await pictureOf(disk) : null;
    await fault.inject(disk);
    await assert.rejects(fault.check(disk, { password: '' }), 'the fault is not there');
    const bytes = await bytesOf(disk);
    const broken = fault.undo === 'bytes' ? bytes : await pictureOf(disk);

    const parameters = await this.findingAndParameters();
    await this.permit(parameters);
    const made = await orders.plan(fault.action, parameters);
    assert.notEqual(made.plan.steps.length, 0, `nothing to do: ${made.plan.summary}`);
    await requireUntouched(disk, bytes);

    const repaired = await orders.apply(made);
    assert.equal(repaired.status, 0, repaired.said);
    await fault.check(disk, { password: await this.openPassword(repaired) });
    const sound = await this.state();
    this.requireListed(broken, sound, made.plan);
    if (healthy !== null) await this.requireFilesKept(healthy);

    await this.requireNothingLeft(parameters);
    if (boot && fault.boots === true) await bootsToLogin(disk.image, disk.layout.firmware);
    if (fault.undo === 'none') return this.requireHonestUndo(made.plan);

    await this.undo(repaired.job, broken);
    await this.killAndUndo(
      made,
      broken,
      sound,
      Math.ceil(killAt * orders.stepRecords(repaired.job)),
    );
  }

  /** What the diagnosis suggests, and what only the client can say. */
  private async findingAndParameters(): Promise<Parameters> {
    const { fault } = this;
    if (fault.finding === null) return fault.parameters ?? {};
    const findings = await this.orders.diagnose();
    const rules = findings.map(({ rule, subject }) => `${rule} (${subject})`).join(', ');
    const found = findings.filter(({ rule }) => rule === fault.finding);
    assert.notEqual(found.length, 0, `found only ${rules || 'nothing'}`);
    const suggestions = found.map(({ suggestion }) => suggestion);
    const fitting = suggestions.find((suggestion) => suggestion?.action === fault.action);
    assert.ok(fitting, `suggested: ${JSON.stringify(suggestions)}`);
    return { ...fitting.parameters, ...fault.parameters } as Parameters;
  }

  /** What an action brings in has to be named by the client. */
  private async permit(parameters: Parameters): Promise<void> {
    const { action } = this.fault;
    const named = findAction(action)!.bringsIn.filter((name) => Object.hasOwn(parameters, name));
    if (named.length === 0) return;
    const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
    const limits = named.flatMap((name) => [
      '--limit',
      `${action}:${name}=${text(parameters[name])}`,
    ]);
    await this.stack.authorize(action, ...limits);
  }

  private async undo(job: string, broken: DiskPicture): Promise<void> {
    const undone = await this.orders.undo(job);
    assert.equal(undone.status, 0, undone.said);
    assert.deepEqual(differences(broken, await this.state()), [], 'the undo left differences');
  }

  private async killAndUndo(
    made: Made,
    broken: DiskPicture,
    sound: DiskPicture,
    records: number,
  ): Promise<void> {
    const job = await this.orders.applyKilled(made, records);
    // It may have been quicker than the kill.
    assert.ok(['interrupted', 'succeeded'].includes(job.state), `${job.state}: ${job.reason}`);
    if (this.fault.undo === 'files') {
      const changed = new Set(differences(broken, sound));
      const torn = strangers(await this.state(), broken, sound).filter(
        (place) =>
          // Half-written beside its place, for the undo to remove.
          !/\/\.[^/]+\.[0-9a-f]{12}\.new$/.test(place) &&
          !(this.fault.makesNew === true && changed.has(place)),
      );
      assert.deepEqual(torn, [], `after the kill neither old nor new (${job.state})`);
    }
    await this.undo(job.id, broken);
  }

  private async requireNothingLeft(parameters: Parameters): Promise<void> {
    if (this.fault.finding !== null) {
      const again = (await this.orders.diagnose()).filter(
        ({ rule, suggestion }) =>
          rule === this.fault.finding && suggestion?.action === this.fault.action,
      );
      assert.deepEqual(again, [], 'the diagnosis suggests it again');
    }
    // A password that is asked for is made anew each time.
    if (this.fault.action === 'access.reset-password') return;
    const again = await this.orders.plan(this.fault.action, parameters);
    assert.deepEqual(
      again.plan.steps.map(({ description }) => description),
      [],
      'the second plan has something to do',
    );
  }

  /** Every changed place is in the plan, or in a folder that the plan declares. */
  private requireListed(broken: DiskPicture, sound: DiskPicture, plan: Plan): void {
    const changes = plan.steps.flatMap((step) => step.changes);
    const listed = new Set(
      changes.flatMap((change) => (change.type === 'diff' ? [change.path] : change.argv)),
    );
    const folders = plan.steps.flatMap(({ declaredFolders }) => declaredFolders);
    const isListed = (place: string) =>
      listed.has(place) || folders.some((folder) => `${place}/`.startsWith(`${folder}/`));
    const unlisted = differences(broken, sound).filter((place) => !isListed(this.asPlanned(place)));
    assert.deepEqual(unlisted, [], `changed, and not in the plan ${JSON.stringify(plan.steps)}`);
  }

  /** Plans name places of a disk as the system on it would, and bytes outside of it by disk or partition. */
  private asPlanned(place: string): string {
    const { disk } = this;
    const role = rolesOf(disk.layout).find((name) => place === `raw:${name}`);
    if (role !== undefined && this.fault.undo === 'bytes') {
      return `${PARTITIONS_OF_A_JOB}${disk.partition(role).number}`;
    }
    return place.startsWith('raw:') ? disk.image : place.replace(/^esp:/, '/boot/efi/');
  }

  private async requireFilesKept(healthy: DiskPicture): Promise<void> {
    const lost = this.fault.loses ?? [];
    const gone = differences(healthy, await pictureOf(this.disk, { afresh: true })).filter(
      (place) => !lost.some((folder) => `${place}/`.startsWith(`${folder}/`)),
    );
    assert.deepEqual(gone, [], 'the file system does not hold what it held before the fault');
  }

  private requireHonestUndo(plan: Plan): void {
    assert.ok(
      plan.steps.some(({ undo }) => !undo.possible),
      'the plan says that all of it can be undone',
    );
  }

  /** The password that a repair made, opened by the client; none when it made none. */
  private async openPassword({ job, result }: Ended): Promise<string> {
    if (typeof result?.['sealedTo'] !== 'string') return '';
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-secret-'));
    try {
      const file = path.join(folder, 'password');
      const { name } = await this.stack.job(job);
      await this.stack.ok('carol', 'credentials', 'open', name, '--output', file, '--yes');
      return readFileSync(file, 'utf8').trimEnd();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** What an undo has to give back; see `RepairedFault.undo`. */
  private async state(): Promise<DiskPicture> {
    return this.fault.undo === 'bytes' ? bytesOf(this.disk) : pictureOf(this.disk);
  }
}
