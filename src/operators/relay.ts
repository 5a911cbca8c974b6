import { Observable } from 'rxjs';
import { type Channel, lingering } from '../channel.js';

export function relay(a: Channel<any, any>, b: Channel<any, any>): Observable<never> {
  return new Observable<never>((subscriber) => {
    let directions = 2;
    const pass = (from: Channel<any, any>, to: Channel<any, any>) =>
      to.sendFrom(from).subscribe({
        complete: () => {
          to.complete();
          finished();
        },
        error: (reason: unknown) => {
          failed(reason);
        },
      });
    const finished = (): void => {
      if (--directions === 0) subscriber.complete();
    };
    const failed = (reason: unknown): void => {
      a.error(reason);
      b.error(reason);
      subscriber.error(reason);
    };
    subscriber.add(pass(a, b));
    subscriber.add(pass(b, a));
  });
}
