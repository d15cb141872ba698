// Mastra's own client: scorers, scores, datasets, experiments, feedback. One line of JSON each.
import { MastraClient } from '@mastra/client-js';

const client = new MastraClient({ baseUrl: process.argv[2], retries: 0 });
const say = (name, value) => console.log(JSON.stringify({ name, value }));
const until = async check => {
  for (let tries = 0; tries < 400; tries++) {
    const found = await check();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error('it took too long');
};

const scorers = await client.listScorers();
say('scorers', Object.entries(scorers).map(([id, row]) => [id, row.agentIds, row.workflowIds, row.isRegistered]));
say('scorer', (await client.getScorer('length')).scorer.config);
say('no-scorer', await client.getScorer('nothing'));

const answer = await client.getAgent('echo').generate('hello');
const live = await until(async () => {
  const found = await client.listScoresByRunId({ runId: answer.runId });
  return found.scores.length && found;
});
say('by-run', live.scores.map(row => [row.scorerId, row.score, row.entityId, row.runId === answer.runId]));
say('by-scorer', (await client.listScoresByScorerId({ scorerId: 'length', page: 0, perPage: 5 })).pagination);
say('by-entity', (await client.listScoresByEntityId({ entityType: 'AGENT', entityId: 'echo' })).scores.length);
const saved = await client.saveScore({
  score: { scorerId: 'mine', score: 0.5, runId: 'run-x', entityId: 'echo', entityType: 'AGENT',
    entity: { id: 'echo' }, scorer: { id: 'mine', name: 'Mine' }, source: 'TEST', output: 'x', input: 'y' },
});
say('saved', [saved.score.score, saved.score.runId, saved.score.source]);

const dataset = await client.createDataset({ name: 'Words', description: 'Some', metadata: { a: 1 } });
say('dataset', [dataset.name, dataset.version, dataset.metadata]);
const first = await client.addDatasetItem({ datasetId: dataset.id, input: 'one', groundTruth: 'ONE', externalId: 'first' });
say('item', [first.id, first.input, first.groundTruth, first.datasetVersion]);
const batch = await client.batchInsertDatasetItems({ datasetId: dataset.id, items: [{ input: 'two' }, { input: 'three' }] });
say('batch', batch.count);
say('changed', (await client.updateDatasetItem({ datasetId: dataset.id, itemId: 'first', groundTruth: '1' })).groundTruth);
say('history', (await client.getItemHistory(dataset.id, 'first')).history.map(row => [row.datasetVersion, row.validTo]));
say('at-version', (await client.getDatasetItemVersion(dataset.id, 'first', 1)).groundTruth);
say('got', (await client.getDatasetItem(dataset.id, 'first')).groundTruth);
say('items', (await client.listDatasetItems(dataset.id, { page: 0, perPage: 2 })).pagination);
say('found', (await client.listDatasetItems(dataset.id, { search: 'thr' })).items.map(item => item.input));
say('versions', (await client.listDatasetVersions(dataset.id)).versions.map(row => row.version));
say('updated', (await client.updateDataset({ datasetId: dataset.id, name: 'Words!', tags: ['bad'] })).name);
say('datasets', (await client.listDatasets({ page: 0, perPage: 10 })).datasets.map(row => row.name));
say('read', (await client.getDataset(dataset.id)).tags);

const begun = await client.triggerDatasetExperiment({
  datasetId: dataset.id, targetType: 'agent', targetId: 'echo', scorerIds: ['length'], name: 'First', maxConcurrency: 2,
});
say('begun', [begun.totalItems, typeof begun.experimentId]);
const ended = await until(async () => {
  const found = await client.getDatasetExperiment(dataset.id, begun.experimentId);
  return found.status === 'completed' && found;
});
say('ended', [ended.succeededCount, ended.failedCount, ended.targetId, ended.name, ended.scorerIds]);
const results = await client.listDatasetExperimentResults(dataset.id, begun.experimentId);
say('results', results.results.map(row => [row.input, row.output, row.error]).sort());
say('scored', (await client.listScoresByRunId({ runId: begun.experimentId })).scores.map(row => row.score).sort());
const result = results.results[0];
const reviewed = await client.updateExperimentResult({
  datasetId: dataset.id, experimentId: begun.experimentId, resultId: result.id, status: 'reviewed', tags: ['bad'], comment: 'hm',
});
say('reviewed', [reviewed.status, reviewed.tags, reviewed.comment]);
say('review-summary', (await client.getExperimentReviewSummary()).counts.map(row => [row.total, row.reviewed]));

const external = await client.createDatasetExperiment({ datasetId: dataset.id, name: 'Elsewhere', id: 'external-1' });
say('external', external.experimentId);
await client.submitExperimentResult({
  datasetId: dataset.id, experimentId: 'external-1', itemId: 'first', output: 'mine', scores: [{ scorerId: 'length', score: 1 }],
});
const final = await client.finalizeExperiment({ datasetId: dataset.id, experimentId: 'external-1' });
say('final', [final.status, final.succeededCount, final.skippedCount]);
const rerun = await client.runExperimentItem({ datasetId: dataset.id, experimentId: begun.experimentId, itemId: 'first', attempt: 1 });
say('rerun', [rerun.result.attempt, rerun.result.output, rerun.scores.map(row => [row.scorerId, row.score])]);
const compared = await client.compareExperiments({
  datasetId: dataset.id, experimentIdA: begun.experimentId, experimentIdB: 'external-1',
});
say('compared', compared.items.filter(row => row.itemId === 'first').map(row => row.results['external-1']));
say('experiments', (await client.listExperiments({ perPage: 10 })).experiments.map(row => row.name));
say('of-dataset', (await client.listDatasetExperiments(dataset.id)).pagination.total);
say('renamed', (await client.updateDatasetExperiment({ datasetId: dataset.id, experimentId: 'external-1', name: 'Away' })).name);

await client.observability.createFeedback({
  feedback: { feedbackType: 'rating', value: 4, comment: 'good', runId: answer.runId, feedbackId: 'f1', sourceId: result.id },
});
const feedback = await client.observability.listFeedback({ filters: { feedbackType: 'rating' } });
say('feedback', feedback.feedback.map(row => [row.feedbackId, row.value, row.comment, row.reviewStatus]));
const looked = await client.observability.updateFeedbackReviewStatus({ feedbackId: 'f1', reviewStatus: 'reviewed' });
say('looked', looked.reviewStatus);
const rated = async (kind, ask) => {
  const { observability } = client;
  const [one, groups, series, percentiles] = ['Aggregate', 'Breakdown', 'TimeSeries', 'Percentiles'].map(what => `get${kind}${what}`);
  const many = { ...ask, aggregation: 'avg' };
  return [
    (await observability[one](many)).value,
    (await observability[groups]({ ...many, groupBy: ['entityType'] })).groups.map(group => group.value),
    (await observability[series]({ ...many, interval: '1h' })).series.map(({ name, points }) => [name, points.length]),
    (await observability[percentiles]({ ...ask, percentiles: [0.5], interval: '1h' })).series.map(({ points }) => points[0].value),
  ];
};
say('feedback-together', await rated('Feedback', { feedbackType: 'rating' }));
await client.observability.deleteFeedback({ feedbackIds: ['f1'] });
say('feedback-left', (await client.observability.listFeedback({})).feedback.length);
await client.observability.createScore({ score: { scorerId: 'signal', score: 1, scoreId: 'sig' } });
say('signals', (await client.observability.listScores({ filters: { scorerId: 'signal' } })).scores.map(row => [row.scoreId, row.score]));
say('scores-together', await rated('Score', { scorerId: 'signal' }));
await client.observability.deleteScores({ scoreIds: ['sig'] });

const traces = await client.observability.listTraces({});
const scored = await client.observability.score({ scorerName: 'length', targets: [{ traceId: traces.spans[0].traceId }] });
say('traced', [scored.status, scored.traceCount]);
const traced = await until(async () => {
  const { traceId, spanId } = traces.spans[0];
  const found = await client.observability.listScoresBySpan({ traceId, spanId });
  return found.scores.length > 1 && found;
});
say('by-span', traced.scores.map(row => row.scorerId));
say('written', (await client.generateDatasetItems({ datasetId: dataset.id, modelId: 'openai/writer', prompt: 'words', count: 1 })).items);
say('failures', (await client.clusterFailures({ modelId: 'openai/writer', items: [{ id: 'first', input: 'one' }] })).clusters.map(one => one.itemIds));

await client.deleteDatasetItem(dataset.id, 'first');
say('deleted', (await client.batchDeleteDatasetItems({ datasetId: dataset.id, itemIds: batch.items.map(row => row.id) })).deletedCount);
say('none', (await client.listDatasetItems(dataset.id)).items.length);
await client.purgeDatasetItem(dataset.id, 'first');
await client.deleteDatasetExperiment(dataset.id, 'external-1');
await client.deleteDataset(dataset.id);
say('orphan', (await client.listExperiments({})).experiments.map(row => [row.name, row.datasetId]));
await client.deleteExperiment(begun.experimentId);
say('gone', (await client.listExperiments({})).experiments.length);
say('404', await client.getDataset(dataset.id).catch(error => error.status));
