import type { Change, ChangeStep } from '../../files/change-steps.ts';

/**
 * Joins what several steps want of one file or folder into the last of them: its content, mode and owner are
 * then changed at once, and taken back at once.
 */
export function oneChangePerPath(steps: readonly ChangeStep[]): ChangeStep[] {
  const last = new Map<string, Change>();
  for (const change of steps.flatMap(({ changes }) => changes)) {
    const before = last.get(change.path);
    last.set(change.path, before === undefined ? change : joined(before, change));
  }
  const lastStep = new Map(
    steps.flatMap(({ id, changes }) => changes.map(({ path }) => [path, id] as const)),
  );
  return steps.map((step) => ({
    ...step,
    changes: [...new Set(step.changes.map(({ path }) => path))]
      .filter((path) => lastStep.get(path) === step.id)
      .map((path) => last.get(path)!),
  }));
}

function joined(one: Change, other: Change): Change {
  if (one.kind === 'attributes' && other.kind === 'attributes') return { ...one, ...other };
  const [file, attributes] = one.kind === 'file' ? [one, other] : [other, one];
  if (file.kind !== 'file' || attributes.kind !== 'attributes') {
    throw new TypeError(`${one.path} cannot become two things`);
  }
  const { kind: _, path: __, straight: ___, ...corrects } = attributes;
  return { ...file, corrects: { ...corrects, ...file.corrects } };
}
