import type { OperatorFunction } from 'rxjs';
import type { Channel } from '../channel.js';

export function sendTo<T>(channel: Channel<any, T>): OperatorFunction<T, never> {
  return (source) => channel.sendFrom(source);
}
