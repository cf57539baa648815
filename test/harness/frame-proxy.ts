import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';

export type Direction = 'toAgent' | 'toEngineer';

/**
 * Stands where the control plane stands for the engineer's program, passes requests on, and does with the
 * frames of terminals what it likes: to both ends it is a control plane that lies.
 */
export class FrameProxy {
  /** Frames that go on instead of this one. */
  tamper: (direction: Direction, frame: Buffer) => Buffer[] = (_direction, frame) => [frame];
  /** All that passed, before it was tampered with. */
  readonly seen: { direction: Direction; frame: Buffer }[] = [];
  private readonly server: http.Server;
  private readonly sockets = new Set<WebSocket>();
  private readonly target: number;

  private constructor(target: number) {
    this.target = target;
    this.server = http.createServer((request, response) => this.forward(request, response));
    const upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    this.server.on('upgrade', (request, socket, head) => {
      socket.on('error', () => {});
      const far = new WebSocket(`ws://127.0.0.1:${target}${request.url}`, {
        perMessageDeflate: false,
        headers: { authorization: request.headers.authorization ?? '' },
      });
      far.on('error', () => socket.destroy());
      far.once('open', () => {
        upgrades.handleUpgrade(request, socket, head, (near) => this.join(near, far));
      });
    });
  }

  static async start(target: number): Promise<FrameProxy> {
    const proxy = new FrameProxy(target);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Cuts what is attached now. */
  cut(): void {
    for (const socket of this.sockets) socket.terminate();
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private join(near: WebSocket, far: WebSocket): void {
    const pass = (direction: Direction, from: WebSocket, to: WebSocket) => {
      this.sockets.add(from);
      from.on('error', () => from.terminate());
      from.on('close', () => {
        this.sockets.delete(from);
        to.close();
      });
      from.on('message', (frame: Buffer) => {
        this.seen.push({ direction, frame });
        for (const other of this.tamper(direction, frame)) to.send(other);
      });
    };
    pass('toAgent', near, far);
    pass('toEngineer', far, near);
  }

  private forward(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { method, url, headers } = request;
    const onward = http.request(
      { host: '127.0.0.1', port: this.target, method, path: url, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }
}
