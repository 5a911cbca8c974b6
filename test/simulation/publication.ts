import type { Subscription } from 'rxjs';
import { Broadcast } from 'rxjs-sockets';
import type { Attendant } from './attendant.js';
import { codec, type Draft, encodeMessage } from './message.js';
import type { Actor, World } from './world.js';

/** A Broadcast, its published messages, and the messages that each member must receive (B1). */
export class Publication implements Actor {
  readonly broadcast: Broadcast<Buffer | Draft> = new Broadcast(codec);
  largest = 0;

  private readonly world: World;
  private readonly members = new Map<Attendant, Subscription>();
  private readonly most: number;
  private readonly pause: number;
  private last = -1;
  private ended = false;

  constructor(world: World) {
    this.world = world;
    this.most = world.dice.pick([5, 50, 500, 500, 5_000, 30_000]);
    this.pause = world.dice.magnitude(50, 2_000);
    if (world.dice.chance(0.6)) this.publishLater();
  }

  /** Makes an attendant's connection a member, which in half of the cases leaves after a while. */
  join(attendant: Attendant): void {
    if (this.ended || this.members.has(attendant)) return;
    const membership = this.broadcast.join(attendant.connection);
    if (membership.closed) return;
    this.members.set(attendant, membership);
    membership.add(() => this.members.delete(attendant));
    const { dice } = this.world;
    if (dice.chance(0.5)) this.world.disturb(dice.magnitude(1, 3_000), () => membership.unsubscribe());
  }

  check(): void {
    const { size } = this.broadcast;
    if (size !== this.members.size) {
      this.world.findings.wrong('B4', `the Broadcast has ${size} members, not ${this.members.size}`);
    }
  }

  calm(): void {
    // Publishing has stopped, because a calm world runs no further disturbances.
  }

  stop(): void {
    this.ended = true;
    if (this.world.gentle || this.world.dice.chance(0.5)) this.broadcast.complete();
    else this.broadcast.error(new Error('the end'));
    this.members.clear();
  }

  checkEnd(): void {
    this.check();
    if (this.members.size > 0) this.world.findings.wrong('B4', `${this.members.size} members are left`);
  }

  private publishLater(): void {
    const { dice } = this.world;
    this.world.disturb(dice.magnitude(1, this.pause), () => {
      for (let count = dice.magnitude(1, 6); count > 0; count--) {
        this.publish(dice.int(0, this.most));
        if (dice.chance(0.3)) this.interfere();
      }
      this.publishLater();
    });
  }

  /** Causes another event in the turn in which a message is published. */
  private interfere(): void {
    const { dice, host } = this.world;
    const attendants = [...host.present];
    if (attendants.length === 0) return;
    const attendant = attendants[dice.int(0, attendants.length - 1)]!;
    switch (dice.int(0, 3)) {
      case 0:
        this.join(attendant);
        break;
      case 1:
        this.members.get(attendant)?.unsubscribe();
        break;
      default:
        attendant.connection.data.next(attendant.outgoing.draft(dice.int(0, 100)));
    }
  }

  private publish(padding: number): void {
    const number = ++this.last;
    this.largest = Math.max(this.largest, padding + 13);
    for (const { connection, outgoing } of this.members.keys()) {
      if (!connection.data.closed) outgoing.expect('broadcast', number, padding + 13);
    }
    this.broadcast.next(encodeMessage('broadcast', 0, number, padding));
    this.world.count('published');
  }
}
