const NOT_YET = 'not proven yet';

/**
 * Faults whose repair does not work yet, by id, and what is missing. They are counted and told, and not run;
 * `INTERVENE_TEST_FAULTS=P05` runs one all the same.
 */
export const awaiting: Readonly<Record<string, string>> = {
  B17: NOT_YET,
  S03: NOT_YET,
  S04: NOT_YET,
  D04: NOT_YET,
  W01: NOT_YET,
  W02: NOT_YET,
  W03: NOT_YET,
  W04: NOT_YET,
};
