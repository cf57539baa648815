import { performance } from 'node:perf_hooks';

const DRIFT_MS = 20;
let originMs = performance.timeOrigin;

/** Microseconds since 1970: the wall clock, with the resolution of the monotonic one. */
export function nowUs(): number {
  const wallMs = Date.now();
  if (Math.abs(originMs + performance.now() - wallMs) > DRIFT_MS) {
    originMs = wallMs - performance.now();
  }
  return Math.round((originMs + performance.now()) * 1000);
}
