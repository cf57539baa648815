import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ApiClient, reference } from './api-client.ts';

const open: { close: () => unknown }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

async function answering(handler: http.RequestListener): Promise<ApiClient> {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const api = new ApiClient({ url: `http://127.0.0.1:${port}/`, token: 'secret', caFile: null });
  open.push(api, { close: () => server.close() });
  return api;
}

describe('the client of the REST interface', () => {
  it('sends its token, and reads what it asked for', async () => {
    const api = await answering((request, response) => {
      response.end(JSON.stringify({ url: request.url, token: request.headers.authorization }));
    });
    await expect(api.get('/api/v1/jobs', { server: 'a b', state: undefined })).resolves.toEqual({
      url: '/api/v1/jobs?server=a+b',
      token: 'Bearer secret',
    });
  });

  it('reads a list page after page', async () => {
    const api = await answering((request, response) => {
      const after = new URL(request.url ?? '', 'http://x').searchParams.get('after');
      response.end(
        JSON.stringify({ items: [after ?? 'first'], next: after === null ? 'second' : null }),
      );
    });
    await expect(api.list('/api/v1/jobs')).resolves.toEqual(['first', 'second']);
  });

  it.each([
    [400, 2],
    [401, 3],
    [403, 3],
    [404, 2],
    [409, 1],
    [429, 1],
    [500, 1],
    [503, 5],
  ])('HTTP status %i is exit status %i', async (status, exitStatus) => {
    const api = await answering((_, response) => {
      response.writeHead(status);
      response.end(
        JSON.stringify({
          error: {
            code: 'some_code',
            happened: 'It was so.',
            safe: 'All is.',
            next: [{ label: 'a', command: 'b' }],
          },
        }),
      );
    });
    await expect(api.get('/x')).rejects.toMatchObject({
      code: 'some_code',
      message: 'It was so.',
      safe: 'All is.',
      exitStatus,
      next: [{ label: 'a', command: 'b' }],
    });
  });

  it('makes sense of an error page of something in between', async () => {
    const api = await answering((_, response) => {
      response.writeHead(502).end('<html>bad gateway</html>');
    });
    await expect(api.get('/x')).rejects.toMatchObject({ code: 'http_502', exitStatus: 5 });
  });

  it('says so when it is not a control plane that answers', async () => {
    const api = await answering((_, response) => response.end('<html>hello</html>'));
    await expect(api.get('/x')).rejects.toMatchObject({ code: 'answer_malformed' });
  });

  it('says what it could not reach, with exit status 5', async () => {
    const api = new ApiClient({ url: 'http://127.0.0.1:1', token: null, caFile: null });
    open.push(api);
    await expect(api.get('/x')).rejects.toMatchObject({
      code: 'control_plane_unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
      exitStatus: 5,
    });
  });

  it('takes an answer that is cut for none', async () => {
    const api = await answering((_, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('{"half":');
      response.socket?.end();
    });
    await expect(api.get('/x')).rejects.toMatchObject({ code: 'control_plane_unreachable' });
  });

  it('names jobs so that no slash cuts the path', () => {
    expect([reference('1042/3'), reference('web-04'), reference('../x')]).toEqual([
      '1042.3',
      'web-04',
      '..%2Fx',
    ]);
  });
});
