import Testing

/// Expects that a step was taken; `#expect` itself takes no mutating call.
func expectDone(_ done: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(done, sourceLocation: sourceLocation)
}
