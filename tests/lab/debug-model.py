# SPDX-License-Identifier: GPL-2.0
#
# debug-model.py - in gdb: random mixes of commands forward and back, against a model.
#
# A stretch of the recording is walked once, forward, by single steps: that gives a table of what is to be seen after each
# instruction. From then on the table alone says where a command must stop, and what must be seen there.
#
# From the environment: MODEL_ANCHOR, an address that the guest executes behind the place where gdb stands; MODEL_BEFORE and
# MODEL_BEHIND, instructions of the stretch before and behind it; MODEL_WORDS, addresses of variables of 8 bytes; MODEL_MIXES;
# MODEL_SEED.
#
# Prints a line "wrong: ..." for each command that did not do what the model says, and in the end
# "model: mixes=N commands=N wrong=N" and "control: noticed N of N".

import collections
import os
import random
import re

import gdb

COMMANDS_PER_MIX = 4
FIELDS = ('pc', 'rsp', 'rax', 'words')

# What is seen after an instruction: registers; memory that is watched; and, for the model alone, the bytes of the next
# instruction and the function that it is in, with the offset from its beginning.
Moment = collections.namedtuple('Moment', FIELDS + ('code', 'function', 'offset'))


def run(command):
    return gdb.execute(command, to_string=True)


def register(name):
    return int(gdb.parse_and_eval('(unsigned long) $' + name)) & (1 << 64) - 1


def memory(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def position():
    return int(re.match(r'instruction (\d+),', run('monitor when')).group(1))


class Model:
    def __init__(self):
        self.addresses = [int(address, 16) for address in os.environ['MODEL_WORDS'].split()]
        self.functions = {}
        self.commands = self.wrong = 0
        self.event = None
        gdb.events.stop.connect(self.stopped)
        anchor = int(os.environ['MODEL_ANCHOR'], 0)
        before, behind = int(os.environ['MODEL_BEFORE']), int(os.environ['MODEL_BEHIND'])
        run('tbreak *%#x' % anchor)
        run('continue')
        # A word of the stack: return addresses, and what exceptions push.
        self.stack = len(self.addresses)
        self.addresses.append(register('rsp') - 8)
        self.first = position() - before
        self.go(self.first)
        self.table = [self.look()]
        for _ in range(before + behind):
            run('stepi')
            self.table.append(self.look())
        # RF is set where an IRET returns from a fault, and no breakpoint hits there.
        resumed = {there.pc for here, there in zip(self.table, self.table[1:]) if here.code.startswith(b'\x48\xcf')}
        self.breakable = sorted({moment.pc for moment in self.table} - resumed)
        # That of the stack is for delivery() alone: the test machine's emulator does not survive many thousands of such hits.
        self.changing = [i for i in range(self.stack) if len({moment.words[i] for moment in self.table}) > 1]

    def stopped(self, event):
        self.event = event

    def function_of(self, pc):
        if pc not in self.functions:
            found = re.match(r'(\S+)(?: \+ (\d+))? in section', run('info symbol %#x' % pc))
            self.functions[pc] = (found.group(1), int(found.group(2) or 0)) if found else (None, 0)
        return self.functions[pc]

    def look(self):
        pc = register('pc')
        words = tuple(memory(address, 8) for address in self.addresses)
        return Moment(pc, register('rsp'), register('rax'), words, memory(pc, 15), *self.function_of(pc))

    def go(self, instruction):
        run('monitor goto %d' % instruction)

    # ---- what the table says ----

    def is_call(self, at):
        """Here is a CALL, and the next step leads to the beginning of a function."""
        return self.table[at].code[0] == 0xe8 and at + 1 < len(self.table) and self.table[at + 1].offset == 0

    def same_function(self, at):
        """This instruction and the next one are in one function, and neither is entered or left between."""
        here, there = self.table[at], self.table[at + 1]
        return here.function and here.function == there.function and here.code[0] not in (0xe8, 0xc3) and here.rsp == there.rsp

    def call_of(self, at):
        """The CALL that led to the function that is executed here, or None."""
        name = self.table[at].function
        for call in range(at - 1, -1, -1):
            if self.table[call + 1].function == name and self.table[call + 1].offset == 0:
                return call if self.is_call(call) else None
        return None

    def return_of(self, call):
        """Behind what this CALL leads to, or None."""
        here = self.table[call]
        for at in range(call + 1, len(self.table)):
            if self.table[at].pc == here.pc + 5 and self.table[at].rsp == here.rsp:
                return at
        return None

    def hit(self, at, to, points):
        """The first place on the way at which points stop it, and those points; or None and none. Backwards a watchpoint
        stops before its instruction."""
        way = 1 if to > at else -1
        while at != to:
            here, there = self.table[at], self.table[at + way]
            found = {i for i in points if (here.words[~i] != there.words[~i] if i < 0 else there.pc == i)}
            at += way
            if found:
                return at, found
        return None, set()

    def possible(self, at, points):
        """A command, and where it leads if no point stops it."""
        last = len(self.table) - 1
        moves = [('monitor goto', random.randint(0, last))]
        for count in (1, random.randint(2, 12)):
            if at + count <= last:
                moves.append(('stepi %d' % count, at + count))
            if at >= count:
                moves.append(('reverse-stepi %d' % count, at - count))
        # To a point in the table, and only there.
        if self.hit(at, last, points)[1]:
            moves.append(('continue', last))
        if self.hit(at, 0, points)[1]:
            moves.append(('reverse-continue', 0))
        if self.is_call(at):
            moves.append(('nexti', self.return_of(at)))
        elif at < last and self.same_function(at):
            moves.append(('nexti', at + 1))
        if at and self.table[at - 1].code[0] == 0xc3:
            moves.append(('reverse-nexti', self.call_of(at - 1)))
        elif at and self.same_function(at - 1):
            moves.append(('reverse-nexti', at - 1))
        # What gdb finishes in an inlined function is that function, which no CALL has called.
        call = self.call_of(at) if gdb.newest_frame().type() != gdb.INLINE_FRAME else None
        if call is not None:
            moves.append(('reverse-finish', call))
            if at == call + 1:
                moves.append(('finish', self.return_of(call)))
        # Each kind as often as any other.
        moves = [move for move in moves if move[1] is not None]
        kind = random.choice(sorted({move[0].split()[0] for move in moves}))
        return random.choice([move for move in moves if move[0].split()[0] == kind])

    # ---- what gdb does ----

    def differences(self, expected, moment):
        seen, found = self.look(), position()
        wrong = ['position: %d instead of %d' % (found, expected)] if found != expected else []
        return wrong + ['%s: %r instead of %r' % (field, getattr(seen, field), getattr(moment, field))
                        for field in FIELDS if getattr(seen, field) != getattr(moment, field)]

    def set_points(self):
        """Some, at random: breakpoints by their addresses, watchpoints by the complements of their indices."""
        points = random.sample(self.breakable, random.choice((0, 1, 1, 2, 5)))
        if self.changing and random.random() < 0.5:
            points.append(~random.choice(self.changing))
        return self.set(points)

    def set(self, points):
        """A dictionary of the points to gdb's numbers."""
        for point in points:
            run('hbreak *%#x' % point if point >= 0 else 'watch *(unsigned long *) %#x' % self.addresses[~point])
        return dict(zip(points, (breakpoint.number for breakpoint in gdb.breakpoints())))

    def command(self, at, points, command=None, place=None):
        """This command, or any. Where it must have led to."""
        if not command:
            command, place = self.possible(at, points)
        stop, hits = None, set()
        self.event = None
        if command == 'monitor goto':
            self.go(self.first + place)
        else:
            stop, hits = self.hit(at, place, points)
            place = place if stop is None else stop
            run(command)
        wrong = self.differences(self.first + place, self.table[place])
        told = {b.number for b in self.event.breakpoints} if isinstance(self.event, gdb.BreakpointEvent) else set()
        if told != {points[hit] for hit in hits}:
            wrong.append('gdb told of %s instead of %s' % (told, hits))
        self.commands += 1
        if wrong:
            self.wrong += 1
            print('wrong: %s at %d with %s: %s' % (command, self.first + at, points, '; '.join(wrong)))
            self.go(self.first + place)
        return place

    def mix(self):
        at = random.randrange(len(self.table))
        self.go(self.first + at)
        points = self.set_points()
        for _ in range(COMMANDS_PER_MIX):
            at = self.command(at, points)
        run('delete')

    def delivery(self):
        """What an exception pushes is written by the step from the instruction that it interrupts. False: there is none."""
        for at in range(len(self.table) - 1):
            here, there = self.table[at], self.table[at + 1]
            if there.function == 'vector_entries' and here.function != there.function and \
                    here.words[self.stack] != there.words[self.stack]:
                self.go(self.first + at)
                points = self.set([~self.stack])
                self.command(at, points, 'continue', len(self.table) - 1)
                self.command(at + 1, points, 'reverse-continue', 0)
                run('delete')
                return True
        return False

    def control(self):
        """A model that is wrong in one thing is noticed, and by that thing."""
        at = len(self.table) // 2
        self.go(self.first + at)
        moment = self.table[at]
        noticed = int([text.split(':')[0] for text in self.differences(self.first + at + 1, moment)] == ['position'])
        for field in FIELDS:
            value = getattr(moment, field)
            skewed = value + 1 if field != 'words' else value[:-1] + (bytes(b ^ 1 for b in value[-1]),)
            found = self.differences(self.first + at, moment._replace(**{field: skewed}))
            noticed += [text.split(':')[0] for text in found] == [field]
        return noticed


def main():
    gdb.execute('set confirm off')
    seed = int(os.environ['MODEL_SEED'])
    random.seed(seed)
    model = Model()
    mixes = int(os.environ['MODEL_MIXES'])
    print('stretch: %d instructions from %d, seed %d' % (len(model.table), model.first, seed))
    for _ in range(mixes):
        model.mix()
    print('delivery: %s' % ('found' if model.delivery() else 'none'))
    print('model: mixes=%d commands=%d wrong=%d' % (mixes, model.commands, model.wrong))
    print('control: noticed %d of %d' % (model.control(), 1 + len(FIELDS)))


main()
