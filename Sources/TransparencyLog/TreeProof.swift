/// Which parts of a tree a proof is made of (RFC 6962, 2.1.1 and 2.1.2), and whether a proof holds.
///
/// A part is the range of its leaves. Sizes are at most 2⁶³−1.
package enum TreeProof {
    /// The parts whose hashes prove that the leaf `index` is in the tree of that size, from the leaf's sibling up.
    /// `nil` if it is not in it.
    package static func inclusion(of index: UInt64, in size: UInt64) -> [Range<UInt64>]? {
        guard index < size, size <= UInt64(Int64.max) else { return nil }
        var parts: [Range<UInt64>] = []
        var (low, high) = (UInt64(0), size)
        while high - low > 1 {
            let middle = low + split(high - low)
            if index < middle {
                parts.append(middle..<high)
                high = middle
            } else {
                parts.append(low..<middle)
                low = middle
            }
        }
        return parts.reversed()
    }

    /// The parts whose hashes prove that the tree of size `old` is the beginning of the one of size `new`. `nil` if it
    /// is larger.
    package static func consistency(from old: UInt64, to new: UInt64) -> [Range<UInt64>]? {
        guard old <= new, new <= UInt64(Int64.max) else { return nil }
        guard old > 0, old < new else { return [] }
        var parts: [Range<UInt64>] = []
        var (low, high) = (UInt64(0), new)
        while high != old {
            let middle = low + split(high - low)
            if old <= middle {
                parts.append(middle..<high)
                high = middle
            } else {
                parts.append(low..<middle)
                low = middle
            }
        }
        // The old tree's own root is known to whoever checks this.
        if low > 0 { parts.append(low..<high) }
        return parts.reversed()
    }

    /// The largest power of two below `count`, which is over 1.
    static func split(_ count: UInt64) -> UInt64 {
        1 << (UInt64.bitWidth - 1 - (count - 1).leadingZeroBitCount)
    }

    /// Whether `path` proves that the leaf is at `index` in the tree (RFC 9162, 2.1.3.2).
    package static func holds(_ leaf: TreeHash, at index: UInt64, _ path: [TreeHash], in head: TreeHead) -> Bool {
        guard let parts = inclusion(of: index, in: head.size), parts.count == path.count else { return false }
        var hash = leaf
        for (part, sibling) in zip(parts, path) {
            hash = part.lowerBound > index ? .node(hash, sibling) : .node(sibling, hash)
        }
        return hash == head.root
    }

    /// Whether `path` proves that the tree `old` is the beginning of `new` (RFC 9162, 2.1.4.2).
    package static func holds(from old: TreeHead, to new: TreeHead, _ path: [TreeHash]) -> Bool {
        guard let parts = consistency(from: old.size, to: new.size), parts.count == path.count else { return false }
        if old.size == 0 { return old.root == .empty }
        if old.size == new.size { return old.root == new.root }
        // The first part ends where the old tree does, unless the old tree is that part.
        let isOwn = parts.first?.lowerBound == old.size
        guard let seed = isOwn ? old.root : path.first else { return false }
        var (before, after) = (seed, seed)
        for (part, hash) in zip(parts, path).dropFirst(isOwn ? 0 : 1) {
            if part.lowerBound >= old.size {
                after = .node(after, hash)
            } else {
                before = .node(hash, before)
                after = .node(hash, after)
            }
        }
        return before == old.root && after == new.root
    }
}

/// Finds the hashes of parts of a tree while its leaves pass by, in memory that does not grow with the tree.
package struct TreeWalk: Sendable {
    private var range: CompactRange
    private let parts: [Range<UInt64>]
    private var wanted: Set<TreeNode> = []
    private var found: [TreeNode: TreeHash] = [:]

    /// `known` is what is known of the leaves before the first that will pass by.
    package init(_ parts: [Range<UInt64>], from known: CompactRange = .empty) {
        range = known
        self.parts = parts
        for part in parts { Self.visit(part) { wanted.insert($0) } }
        for (node, hash) in known.nodes where wanted.contains(node) { found[node] = hash }
    }

    /// The number of leaves so far.
    package var size: UInt64 { range.size }

    package mutating func append(_ leaf: TreeHash) {
        range.append(leaf) { node, hash in
            if wanted.contains(node) { found[node] = hash }
        }
    }

    /// The hashes of the parts; `nil` if not all of their leaves have passed by.
    package var hashes: [TreeHash]? {
        let hashes = parts.compactMap(hash)
        return hashes.count == parts.count ? hashes : nil
    }

    private func hash(_ part: Range<UInt64>) -> TreeHash? {
        var hashes: [TreeHash] = []
        var isWhole = true
        Self.visit(part) { node in
            if let hash = found[node] { hashes.append(hash) } else { isWhole = false }
        }
        guard isWhole, let last = hashes.last else { return nil }
        return hashes.dropLast().reversed().reduce(last) { right, left in .node(left, right) }
    }

    /// Calls `body` with the complete subtrees that the part consists of, from left to right.
    private static func visit(_ part: Range<UInt64>, _ body: (TreeNode) -> Void) {
        var low = part.lowerBound
        while low < part.upperBound {
            let level = UInt64.bitWidth - 1 - (part.upperBound - low).leadingZeroBitCount
            body(TreeNode(level: level, index: low >> level))
            low += 1 << level
        }
    }
}
