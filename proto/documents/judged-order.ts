import { jobConfirm } from '../actions/job.ts';
import type { Order } from './kinds/order.ts';

/**
 * The order that decides what an authorization and a policy must allow: the order itself, but for a confirmation
 * the order of the job whose change it keeps. That one asked for the same change, under the same authorization.
 *
 * @param findOrder the verified order of a job that changed something; undefined when it is not known
 */
export function judgedOrder(order: Order, findOrder: (job: string) => Order | undefined): Order {
  const { job } = order.parameters;
  if (order.action !== jobConfirm.id || typeof job !== 'string') return order;
  const confirmed = findOrder(job);
  const isSame =
    confirmed?.mode === 'apply' &&
    confirmed.server === order.server &&
    confirmed.agentKey === order.agentKey &&
    confirmed.authorization === order.authorization;
  return isSame ? confirmed : order;
}
