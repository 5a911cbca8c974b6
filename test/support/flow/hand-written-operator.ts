import { Observable, type OperatorFunction } from 'rxjs';

/** A user's operator, written without `lift`. */
export const shout: OperatorFunction<string, string> = (source) =>
  new Observable((subscriber) =>
    source.subscribe({ ...forward(subscriber), next: (line) => subscriber.next(`${line}!`) }),
  );

function forward(subscriber: { error(reason: unknown): void; complete(): void }) {
  return { error: (reason: unknown) => subscriber.error(reason), complete: () => subscriber.complete() };
}
