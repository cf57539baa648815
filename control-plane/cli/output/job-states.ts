import type { JobState } from '../../http/schemas.ts';
import type { Style } from './terminal.ts';

export interface StateText {
  word: string;
  glyph: string;
  style: Style;
  /** A job never leaves this state by itself. */
  final: boolean;
}

/** How each state of a job is said: a word and a sign, never a colour alone. */
export const jobStateTexts: Record<JobState, StateText> = {
  proposed: { word: 'Proposed', glyph: '○', style: 'idle', final: false },
  queued: { word: 'Queued', glyph: '○', style: 'idle', final: false },
  delivered: { word: 'Delivered', glyph: '◔', style: 'info', final: false },
  running: { word: 'Running', glyph: '▶', style: 'info', final: false },
  succeeded: { word: 'Succeeded', glyph: '✓', style: 'ok', final: true },
  failed: { word: 'Failed', glyph: '✗', style: 'bad', final: true },
  cancelled: { word: 'Cancelled', glyph: '⊘', style: 'idle', final: true },
  timed_out: { word: 'Timed out', glyph: '◷', style: 'bad', final: true },
  interrupted: { word: 'Interrupted', glyph: '!', style: 'warn', final: true },
  refused: { word: 'Refused', glyph: '⊗', style: 'stop', final: true },
  expired: { word: 'Expired', glyph: '◌', style: 'idle', final: true },
  abandoned: { word: 'Abandoned', glyph: '…', style: 'idle', final: true },
};

export type AgentState = 'connected' | 'disconnected' | 'unreachable' | 'quarantined';

export const agentStateTexts: Record<AgentState, { word: string; glyph: string; style: Style }> = {
  connected: { word: 'connected', glyph: '●', style: 'ok' },
  disconnected: { word: 'disconnected', glyph: '○', style: 'idle' },
  unreachable: { word: 'unreachable', glyph: '?', style: 'warn' },
  quarantined: { word: 'quarantined', glyph: '!', style: 'bad' },
};

export function isFinal(state: JobState): boolean {
  return jobStateTexts[state].final;
}
