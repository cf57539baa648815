import { randomInt } from 'node:crypto';

/**
 * Small letters that look like no other and that keyboards of Germany, France and America have in the same
 * place: a client may have to type it at a console that takes another keyboard for granted.
 */
const LETTERS = 'bcdefghjknprstuvx';
const LENGTH = 20;

/** A password of 81 bits that can be typed anywhere. */
export function newPassword(): string {
  return Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]!).join('');
}
