import type * as grpc from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { configureHttp2, GrpcInternalsChangedError } from './http2-settings.ts';

it('grpc-js of another make is noticed at the start', () => {
  const options = { options: {}, windowBytes: 1, onServer: () => {}, onSession: () => {} };
  expect(() => configureHttp2({} as grpc.Server, options)).toThrow(GrpcInternalsChangedError);
});
