/** What the guest's disks are made with, and what its test looks for. */
export const KEY = 'correct horse battery';
export const WRONG_KEY = 'correct horse stapler';
export const ROOT_ID = '11111111-2222-4333-8444-555555555501';
export const SECRET_ID = '11111111-2222-4333-8444-555555555503';
