import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Listed, ConnectionList } from '../../src/connection/connection-list.js';
import '../support/leaks.js';

interface Member extends Listed<Member> {
  readonly number: number;
}

it('S1: who is here is known in the order of coming, as a Set knows it, from whenever on the Set is looked at', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(7)), fc.nat(20), (numbers, look) => {
      const members = Array.from({ length: 8 }, (_, number): Member => ({
        number,
        earlier: undefined,
        later: undefined,
      }));
      const roster = new ConnectionList<Member>();
      const model = new Set<Member>();
      let set: ReadonlySet<Member> | undefined;
      for (const [step, number] of numbers.entries()) {
        if (step === look) set = roster.set;
        const member = members[number]!;
        if (model.delete(member)) roster.remove(member);
        else {
          model.add(member);
          roster.add(member);
        }
        expect(roster.size).toBe(model.size);
        expect(roster.all()).toEqual([...model]);
        if (set !== undefined) expect([...set]).toEqual([...model]);
      }
      expect([...roster.set]).toEqual([...model]);
      expect(roster.set).toBe(set ?? roster.set);
    }),
  );
});

it('S18: who has left leads to nobody who is here', () => {
  const [one, other, third] = [0, 1, 2].map((number): Member => ({ number, earlier: undefined, later: undefined }));
  const roster = new ConnectionList<Member>();
  for (const member of [one!, other!, third!]) roster.add(member);
  roster.remove(other!);
  expect([other!.earlier, other!.later]).toEqual([undefined, undefined]);
  expect([one!.later, third!.earlier]).toEqual([third, one]);
});
