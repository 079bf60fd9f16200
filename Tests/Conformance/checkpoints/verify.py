#!/usr/bin/env python3
"""Verifies checkpoints of an audit log, and proofs about it, without the program that made them.

Written from these specifications alone: RFC 6962 (the tree), RFC 8032 (Ed25519), and c2sp.org/signed-note,
tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-witness. Needs nothing but Python 3.8; if the package
`cryptography` is there, it verifies the signatures as well, and both have to agree.

    verify.py checkpoint FILE --key KEY [--witness KEY]... [--log FILE]...
    verify.py proof FILE --key KEY [--witness KEY]... --record FILE
    verify.py consistency OLD NEW --key KEY --proof FILE

--log takes the files of a log from record 1 on, oldest first: their tree must be the one of the checkpoint.
--record is the line of the log that the proof is about; --proof has the hashes of a consistency proof, one a line.
Says what holds and exits with 0, or says what does not and exits with 1.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import sys

# --- RFC 8032, Ed25519, by its own formulas: slow, and short enough to read.

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * ROOT % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def point(data):
    number = int.from_bytes(data, "little")
    y = number & (2**255 - 1)
    x = recover(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    k = (a[1] - a[0]) * (b[1] - b[0]) % P
    l = (a[1] + a[0]) * (b[1] + b[0]) % P
    m = 2 * a[3] * b[3] * D % P
    n = 2 * a[2] * b[2] % P
    e, f, g, h = l - k, n - m, n + m, l + k
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number, a):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, a)
        a = add(a, a)
        number >>= 1
    return result


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None


def signed(public, message, signature):
    good = ed25519(public, message, signature)
    if Ed25519PublicKey is not None:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            other = True
        except (InvalidSignature, ValueError):
            other = False
        if good != other:
            raise Bad("two implementations of Ed25519 disagree")
    return good


# --- Forms


class Bad(Exception):
    """What does not hold."""


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("this is no base64: %r" % text)
    if base64.b64encode(data).decode() != text:
        raise Bad("this is no canonical base64: %r" % text)
    return data


def unhash(text):
    data = unbase64(text)
    if len(data) != 32:
        raise Bad("this is no hash: %r" % text)
    return data


def undecimal(text):
    if not text.isascii() or not text.isdigit() or (text != "0" and text[0] == "0"):
        raise Bad("this is no decimal number: %r" % text)
    return int(text)


class Key:
    """A verifier key (signed-note): name, id and public key."""

    def __init__(self, text, kind):
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise Bad("this is no verifier key: %r" % text)
        self.name = parts[0]
        data = unbase64(parts[2])
        if not data or data[0] != kind or len(data) != 33:
            raise Bad("this key is not of type %d: %r" % (kind, text))
        self.kind, self.public = kind, data[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        if self.id.hex() != parts[1]:
            raise Bad("the key's id is not that of its name and its bytes: %r" % text)


class Note:
    """A signed note: its text, and its signature lines."""

    def __init__(self, data):
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Bad("the note is not UTF-8")
        if any(ord(c) < 0x20 and c != "\n" for c in whole):
            raise Bad("the note has control characters")
        at = whole.rfind("\n\n")
        if at < 1 or not whole.endswith("\n"):
            raise Bad("this is no signed note")
        self.text = whole[: at + 1]
        self.signatures = []
        for line in whole[at + 2 : -1].split("\n"):
            words = line.split(" ")
            if len(words) != 3 or words[0] != "\u2014" or not words[1] or "+" in words[1]:
                raise Bad("this is no signature line: %r" % line)
            self.signatures.append((words[1], unbase64(words[2])))

    def check(self, key):
        """The time of the key's signature, 0 for a log's; raises unless there is one and all of them are good."""
        times = []
        for name, data in self.signatures:
            if name != key.name or data[:4] != key.id:
                continue
            body, message, time = data[4:], self.text.encode(), 0
            if key.kind == 4:
                if len(body) != 72:
                    raise Bad("the cosignature of %s has another length" % name)
                time, body = int.from_bytes(body[:8], "big"), body[8:]
                message = ("cosignature/v1\ntime %d\n" % time).encode() + message
            if not signed(key.public, message, body):
                raise Bad("the signature of %s is not good" % name)
            times.append(time)
        if not times:
            raise Bad("there is no signature of %s" % key.name)
        return times[0]


class Checkpoint:
    def __init__(self, data, key, witnesses=()):
        note = Note(data)
        lines = note.text[:-1].split("\n")
        if len(lines) < 3 or "" in lines:
            raise Bad("this is no checkpoint")
        self.origin, self.size, self.root = lines[0], undecimal(lines[1]), unhash(lines[2])
        if self.origin != key.name:
            raise Bad("the checkpoint is of %r, the key is of %r" % (self.origin, key.name))
        note.check(key)
        print("signed by %s" % key.name)
        for witness in witnesses:
            time = datetime.datetime.fromtimestamp(note.check(witness), datetime.timezone.utc)
            print("witnessed by %s at %s" % (witness.name, time.isoformat()))


# --- RFC 6962, 2.1


def leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count):
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def root(leaves):
    """MTH of a list of leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node(root(leaves[:k]), root(leaves[k:]))


def from_inclusion(hash, index, size, path):
    """The root that PATH(index, D[size]) leads to; the path is used up from its end, which is at the root."""
    if size == 1:
        if path:
            raise Bad("the proof is too long")
        return hash
    if not path:
        raise Bad("the proof is too short")
    k = split(size)
    if index < k:
        return node(from_inclusion(hash, index, k, path[:-1]), path[-1])
    return node(path[-1], from_inclusion(hash, index - k, size - k, path[:-1]))


def from_consistency(old, size, path, known, first):
    """The roots of the old and of the new tree that SUBPROOF(old, D[size], known) leads to; `first` is the old root."""
    if old == size:
        if known:
            if path:
                raise Bad("the proof is too long")
            return first, first
        if len(path) != 1:
            raise Bad("the proof has another length")
        return path[0], path[0]
    if not path:
        raise Bad("the proof is too short")
    k = split(size)
    if old <= k:
        before, after = from_consistency(old, k, path[:-1], known, first)
        return before, node(after, path[-1])
    before, after = from_consistency(old - k, size - k, path[:-1], False, first)
    return node(path[-1], before), node(path[-1], after)


# --- Commands


def read(name):
    with open(name, "rb") as file:
        return file.read()


def check_checkpoint(options, key, witnesses):
    checkpoint = Checkpoint(read(options.file), key, witnesses)
    print("%s has %d records" % (checkpoint.origin, checkpoint.size))
    if not options.log:
        return
    leaves = []
    for name in options.log:
        with open(name, "rb") as file:
            leaves += [leaf(line[:-1]) for line in file if line.endswith(b"\n")]
    if len(leaves) < checkpoint.size:
        raise Bad("the files have %d records, the checkpoint %d" % (len(leaves), checkpoint.size))
    if root(leaves[: checkpoint.size]) != checkpoint.root:
        raise Bad("the files are not the log of the checkpoint")
    print("the files are that log")


def check_proof(options, key, witnesses):
    lines, rest = [], read(options.file)
    while True:
        line, found, rest = rest.partition(b"\n")
        if not found:
            raise Bad("this is no proof: no empty line")
        if not line:
            break
        lines.append(line.decode("utf-8", "replace"))
    if not lines or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Bad("this is no c2sp.org/tlog-proof@v1")
    if lines and lines[0].startswith("extra "):
        unbase64(lines.pop(0)[6:])
    if not lines or not lines[0].startswith("index "):
        raise Bad("the proof has no index")
    index = undecimal(lines.pop(0)[6:])
    checkpoint = Checkpoint(rest, key, witnesses)
    if index >= checkpoint.size:
        raise Bad("the proof is about a record that the checkpoint does not cover")
    record = read(options.record)
    hash = leaf(record[:-1] if record.endswith(b"\n") else record)
    if from_inclusion(hash, index, checkpoint.size, [unhash(line) for line in lines]) != checkpoint.root:
        raise Bad("the record is not record %d of that log" % (index + 1))
    print("it is record %d of %d of %s" % (index + 1, checkpoint.size, checkpoint.origin))


def check_consistency(options, key, witnesses):
    old, new = Checkpoint(read(options.file), key, witnesses), Checkpoint(read(options.new), key, witnesses)
    path = [unhash(line) for line in read(options.proof).decode("ascii").split("\n") if line]
    if old.size > new.size:
        raise Bad("the older checkpoint is the larger one")
    if old.size == 0 or old.size == new.size:
        good = not path and (old.size == 0 or old.root == new.root)
    else:
        good = from_consistency(old.size, new.size, path, True, old.root) == (old.root, new.root)
    if not good:
        raise Bad("the newer log does not continue the older one")
    print("the log of %d records continues the one of %d" % (new.size, old.size))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in [("checkpoint", check_checkpoint), ("proof", check_proof), ("consistency", check_consistency)]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("file")
        if name == "consistency":
            command.add_argument("new")
            command.add_argument("--proof", required=True)
        command.add_argument("--key", required=True)
        command.add_argument("--witness", action="append", default=[])
        if name == "checkpoint":
            command.add_argument("--log", action="append", default=[])
        if name == "proof":
            command.add_argument("--record", required=True)
    options = parser.parse_args()
    try:
        options.run(options, Key(options.key, 1), [Key(text, 4) for text in options.witness])
    except (Bad, OSError) as error:
        print("NOT VERIFIED: %s" % error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
