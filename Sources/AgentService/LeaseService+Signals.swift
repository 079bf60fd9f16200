import AgentModel

/// What agents on one state tell each other between the turns.
extension LeaseService {
    func follow(_ signals: AsyncStream<StoreSignal>) async {
        await withDiscardingTaskGroup { group in
            for await signal in signals {
                switch signal {
                case .operation(let id):
                    registry.hub.publish(id)
                    guard let operation = (try? await audited.read { $0.operation(id) }) ?? nil else { continue }
                    if operation.state.isEnded { _ = registry.note(nil, of: id, isNews: false) }
                    if isWork(operation) { group.addTask { await self.workOn(operation) } }
                case .freezes: await freeze()
                case .leases: bell.ring()
                case .history: events.history?.changed()
                case .spent(let spending): ports.budgets?.charge(spending)
                case .progress(let id, let progress): await note(progress, of: id)
                case .everything:
                    events.history?.changed()
                    registry.forgetProgressElsewhere()
                    registry.hub.publishAll()
                    await freeze()
                    bell.ring()
                }
            }
            group.cancelAll()
        }
    }

    /// Another agent tells how far a task is.
    private func note(_ progress: Progress?, of id: RecordID) async {
        guard registry.lease(of: id) == nil, registry.note(progress, of: id, isNews: false), let progress,
            let operation = (try? await audited.read { $0.operation(id) }) ?? nil
        else { return }
        guard !operation.state.isEnded else { return _ = registry.note(nil, of: id, isNews: false) }
        events.tell(AgentEvent(operation, progress, at: ports.now()))
    }

    /// Tells the others once a second what callers took of their budgets, and how far tasks are.
    func tellNews(_ store: any LeaseStore) async {
        repeat {
            let spent = ports.budgets?.spent ?? []
            let news = registry.takeNews()
            guard !spent.isEmpty || !news.isEmpty else { continue }
            do throws(StoreError) {
                try await store.tell(spent.map { .spent($0) } + news.map { .progress($0.key, $0.value) })
                ports.budgets?.told(spent)
            } catch {
                registry.keepNews(of: news.keys)
            }
        } while (try? await Task.sleep(for: .seconds(1))) != nil
    }

    /// Another agent has stored a freeze, or lifted one.
    private func freeze() async {
        guard let store = ports.leases else { return }
        do throws(StoreError) {
            for row in try await store.leases() { keeper.told(row.environment, freezes: row.freezes) }
            do throws(ServiceError) { try await freezes.load() } catch { throw StoreError(error.detail) }
            for lease in keeper.leases { try await freezes.honour(lease) }
        } catch {
            log(error)
        }
    }
}
