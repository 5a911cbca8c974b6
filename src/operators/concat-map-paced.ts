import type { ObservableInput, OperatorFunction } from 'rxjs';
import { assertFlow, type Flow } from '../flow.js';
import { PacedFlow } from './merge-map-paced.js';

export function concatMapPaced<T, R>(project: (value: T, index: number) => ObservableInput<R>): OperatorFunction<T, R> {
  return (source) => {
    assertFlow(source, 'concatMapPaced');
    return new PacedFlow(source as Flow<T>, project, 1);
  };
}
