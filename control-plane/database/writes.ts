/**
 * Statements of one transaction of which nobody needs the answer before the next one is sent. They go out at
 * once, in order; `settled` is to be awaited before the transaction ends. When one fails PostgreSQL carries out
 * none of those behind it, and `settled` rejects with the first failure.
 */
export class Writes {
  private readonly sent: Promise<unknown>[] = [];

  send(statement: Promise<unknown>): void {
    // It may fail before anybody waits for it.
    statement.catch(() => {});
    this.sent.push(statement);
  }

  async settled(): Promise<void> {
    for (const statement of this.sent.splice(0)) await statement;
  }
}
