import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Listed, ConnectionList } from '../../src/connection/connection-list.js';
import '../support/leaks.js';

interface Member extends Listed<Member> {
  readonly number: number;
}

it('S1: a connection list and its Set keep the order of addition, no matter when the Set is first read', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(7)), fc.nat(20), (numbers, firstRead) => {
      const members = Array.from({ length: 8 }, (_, number): Member => ({
        number,
        earlier: undefined,
        later: undefined,
      }));
      const list = new ConnectionList<Member>();
      const model = new Set<Member>();
      let set: ReadonlySet<Member> | undefined;
      for (const [step, number] of numbers.entries()) {
        if (step === firstRead) set = list.set;
        const member = members[number]!;
        if (model.delete(member)) list.remove(member);
        else {
          model.add(member);
          list.add(member);
        }
        expect(list.size).toBe(model.size);
        expect(list.all()).toEqual([...model]);
        if (set !== undefined) expect([...set]).toEqual([...model]);
      }
      expect([...list.set]).toEqual([...model]);
      expect(list.set).toBe(set ?? list.set);
    }),
  );
});

it('S18: a member removed from a connection list has no links to the other members', () => {
  const [one, other, third] = [0, 1, 2].map((number): Member => ({ number, earlier: undefined, later: undefined }));
  const list = new ConnectionList<Member>();
  for (const member of [one!, other!, third!]) list.add(member);
  list.remove(other!);
  expect([other!.earlier, other!.later]).toEqual([undefined, undefined]);
  expect([one!.later, third!.earlier]).toEqual([third, one]);
});
