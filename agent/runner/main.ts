import { loadImplementation } from '../actions/implementations.ts';
import { Runner } from './runner.ts';

// The agent starts this in a sandbox, with one argument: how many milliseconds to wait for `start` while
// no agent is connected.
await new Runner(loadImplementation, Number(process.argv[2])).listen();
