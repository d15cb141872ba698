BEGIN TRANSACTION;
CREATE TABLE mastra_agent_runs (
	run_key INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	saved_at BIGINT NOT NULL, 
	is_waiting BOOLEAN NOT NULL, 
	record TEXT NOT NULL, owner TEXT, lease_until BIGINT NOT NULL DEFAULT 0, 
	PRIMARY KEY (run_key), 
	UNIQUE (run_id)
);
CREATE TABLE mastra_message_vectors (
	message_key INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	sketch BLOB NOT NULL, 
	vector BLOB NOT NULL, 
	PRIMARY KEY (message_key, model)
);
CREATE TABLE mastra_messages (
	message_key INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	thread_id TEXT NOT NULL, 
	resource_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	content TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (message_key), 
	UNIQUE (id)
);
CREATE TABLE mastra_resources (
	id TEXT NOT NULL, 
	working_memory TEXT, 
	metadata TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE mastra_schema_version (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at BIGINT NOT NULL
);
INSERT INTO "mastra_schema_version" VALUES(1,1735915443352);
INSERT INTO "mastra_schema_version" VALUES(2,1735915443353);
INSERT INTO "mastra_schema_version" VALUES(3,1735915443375);
INSERT INTO "mastra_schema_version" VALUES(4,1735915443375);
INSERT INTO "mastra_schema_version" VALUES(5,1735915443376);
CREATE TABLE mastra_threads (
	thread_key INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	resource_id TEXT NOT NULL, 
	title TEXT NOT NULL, 
	metadata TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (thread_key), 
	UNIQUE (id)
);
CREATE TABLE mastra_workflow_journal (
	position INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (position)
);
INSERT INTO "mastra_workflow_journal" VALUES(4294967296,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(4294967297,'0.price','{"id":"price","s":"success","p":1,"t0":1735915443488,"t1":1735915443489,"d":null,"x":[1],"o":1,"q0":1,"q1":2,"op":"0.price","y":100}');
INSERT INTO "mastra_workflow_journal" VALUES(4294967298,'1.1.ask','{"id":"ask","s":"suspended","p":100,"t0":1735915443489,"t1":1735915443489,"sp":{"pay":100},"st":1735915443489,"l":[],"d":null,"o":2,"q0":3,"q1":4,"op":"1.1.ask"}');
INSERT INTO "mastra_workflow_journal" VALUES(4294967299,'','{"log":[[5,9,null,{"status":"suspended","result":null,"hasResult":false,"error":null,"tripwire":null,"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cachedInputTokens":0,"cacheCreationInputTokens":0,"reasoningTokens":0}}]]}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934592,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934593,'0.count[1]','{"id":"count","s":"success","p":1,"t0":1735915443501,"t1":1735915443501,"d":null,"x":false,"i":1,"o":1,"q0":1,"q1":2,"op":"0.count[1]","y":2}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934594,'0.count[2]','{"id":"count","s":"success","p":2,"t0":1735915443502,"t1":1735915443502,"d":null,"x":true,"i":2,"o":2,"q0":3,"q1":4,"op":"0.count[2]","y":3}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934595,'1.mapping_blocks_0','{"id":"mapping_blocks_0","k":"map","s":"success","p":3,"t0":1735915443502,"t1":1735915443502,"d":null,"o":3,"q0":5,"q1":6,"op":"1.mapping_blocks_0","y":[3,6]}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934596,'','{"log":[[7,1,{"id":"item","k":"block","p":[3,6],"t0":1735915443502,"n":2,"op":"2.item"},null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934597,'2.item[0]/0.check','{"id":"item[0].check","s":"success","p":3,"t0":1735915443502,"t1":1735915443502,"d":null,"o":4,"q0":8,"q1":9,"op":"2.item[0]/0.check","y":4}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934598,'2.item[0]/1.ask','{"id":"item[0].ask","s":"suspended","p":4,"t0":1735915443502,"t1":1735915443502,"sp":{"pay":4},"st":1735915443502,"l":[],"d":null,"o":5,"q0":10,"q1":11,"op":"2.item[0]/1.ask"}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934599,'','{"log":[[12,4,["2.item","item",1735915443502],{"completedCount":0,"totalCount":2,"currentIndex":0,"iterationStatus":"suspended"}],[13,2,{"id":"item","k":"block","s":"suspended","p":[3,6],"t0":1735915443502,"sp":{"pay":4},"st":1735915443502,"n":2,"op":"2.item"},null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(8589934600,'','{"log":[[14,9,null,{"status":"suspended","result":null,"hasResult":false,"error":null,"tripwire":null,"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cachedInputTokens":0,"cacheCreationInputTokens":0,"reasoningTokens":0}}]]}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901888,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901889,'0.0.count','{"id":"count","s":"success","p":1,"t0":1735915443503,"t1":1735915443503,"d":null,"o":1,"q0":1,"q1":2,"op":"0.0.count","y":2}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901890,'0.1.price','{"id":"price","s":"success","p":1,"t0":1735915443503,"t1":1735915443503,"d":null,"o":2,"q0":3,"q1":4,"op":"0.1.price","y":100}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901891,'1.mapping_twice_0','{"id":"mapping_twice_0","k":"map","s":"success","p":{"count":2,"price":100},"t0":1735915443503,"t1":1735915443588,"d":null,"o":3,"q0":5,"q1":6,"op":"1.mapping_twice_0","y":2}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901892,'2.count','{"id":"count","s":"success","p":2,"t0":1735915443588,"t1":1735915443588,"d":null,"o":4,"q0":7,"q1":8,"op":"2.count","y":3}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901893,'3.mapping_twice_1','{"id":"mapping_twice_1","k":"map","s":"success","p":3,"t0":1735915443588,"t1":1735915443588,"d":null,"x":[0],"o":5,"q0":9,"q1":10,"op":"3.mapping_twice_1","same":true}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901894,'4.0.ask','{"id":"ask","s":"suspended","p":3,"t0":1735915443588,"t1":1735915443588,"sp":{"pay":3},"st":1735915443588,"l":[],"d":null,"o":6,"q0":11,"q1":12,"op":"4.0.ask"}');
INSERT INTO "mastra_workflow_journal" VALUES(12884901895,'','{"log":[[13,9,null,{"status":"suspended","result":null,"hasResult":false,"error":null,"tripwire":null,"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cachedInputTokens":0,"cacheCreationInputTokens":0,"reasoningTokens":0}}]]}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869184,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869185,'0.price','{"id":"price","s":"success","p":1,"t0":1735915443589,"t1":1735915443589,"d":null,"o":1,"q0":1,"q1":2,"op":"0.price","y":100}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869186,'1.check','{"id":"check","s":"success","p":100,"t0":1735915443589,"t1":1735915443589,"d":null,"o":2,"q0":3,"q1":4,"op":"1.check","y":101}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869187,'2.ask','{"id":"ask","s":"suspended","p":101,"t0":1735915443589,"t1":1735915443589,"sp":{"pay":101},"st":1735915443589,"l":[],"d":null,"o":3,"q0":5,"q1":6,"op":"2.ask"}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869188,'','{"log":[[7,9,null,{"status":"suspended","result":null,"hasResult":false,"error":null,"tripwire":null,"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cachedInputTokens":0,"cacheCreationInputTokens":0,"reasoningTokens":0}}]]}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869189,'','{"log":[[8,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869190,'','{"drop":["1.check","2.ask"]}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869191,'1.check','{"id":"check","s":"success","p":7,"t0":1735915443599,"t1":1735915443599,"d":null,"o":4,"q0":9,"q1":10,"op":"1.check","y":8}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869192,'2.ask','{"id":"ask","s":"suspended","p":8,"t0":1735915443599,"t1":1735915443599,"sp":{"pay":8},"st":1735915443599,"l":[],"d":null,"o":5,"q0":11,"q1":12,"op":"2.ask"}');
INSERT INTO "mastra_workflow_journal" VALUES(17179869193,'','{"log":[[13,9,null,{"status":"suspended","result":null,"hasResult":false,"error":null,"tripwire":null,"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cachedInputTokens":0,"cacheCreationInputTokens":0,"reasoningTokens":0}}]]}');
INSERT INTO "mastra_workflow_journal" VALUES(25769803776,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(25769803777,'0.price','{"id":"price","s":"success","p":1,"t0":1735915445508,"t1":1735915445508,"d":null,"o":1,"q0":1,"q1":2,"op":"0.price","y":100}');
INSERT INTO "mastra_workflow_journal" VALUES(25769803778,'1.check','{"id":"check","s":"success","p":100,"t0":1735915445509,"t1":1735915445509,"d":null,"o":2,"q0":3,"q1":4,"op":"1.check","y":101}');
INSERT INTO "mastra_workflow_journal" VALUES(30064771072,'','{"log":[[0,0,null,null]]}');
INSERT INTO "mastra_workflow_journal" VALUES(30064771073,'0.price','{"id":"price","s":"success","p":1,"t0":1735915446807,"t1":1735915446807,"d":null,"o":1,"q0":1,"q1":2,"op":"0.price","y":100}');
INSERT INTO "mastra_workflow_journal" VALUES(30064771074,'1.sleep_sleeping_0','{"id":"sleep_sleeping_0","k":"sleep","s":"waiting","p":100,"t0":1735915446812,"w":1735915506.8122482,"q0":3,"op":"1.sleep_sleeping_0"}');
CREATE TABLE mastra_workflow_runs (
	run_key INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workflow_id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	resource_id TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	input TEXT, 
	result TEXT, 
	error TEXT, 
	state TEXT, 
	request_context TEXT, 
	owner TEXT, 
	lease_until BIGINT NOT NULL, 
	data TEXT, 
	UNIQUE (workflow_id, run_id)
);
INSERT INTO "mastra_workflow_runs" VALUES(1,'branching','branching','suspended',NULL,1735915443409,1735915443490,'1',NULL,NULL,'{}','{}',NULL,0,'{"initialState":{},"path":["price"]}');
INSERT INTO "mastra_workflow_runs" VALUES(2,'blocks','blocks','suspended',NULL,1735915443501,1735915443502,'1',NULL,NULL,'{}','{}',NULL,0,'{"initialState":{},"path":["mapping_blocks_0"]}');
INSERT INTO "mastra_workflow_runs" VALUES(3,'twice','twice','suspended',NULL,1735915443502,1735915443588,'1',NULL,NULL,'{}','{}',NULL,0,'{"initialState":{},"path":["mapping_twice_0","count","mapping_twice_1"]}');
INSERT INTO "mastra_workflow_runs" VALUES(4,'travelled','travelled','suspended',NULL,1735915443589,1735915443599,'1',NULL,NULL,'{}','{}',NULL,0,'{"initialState":{},"path":["price","check","ask"],"travel":{"path":[1],"op":"1.check","hasInput":true,"input":7,"resumeData":null,"suspendPayload":null}}');
INSERT INTO "mastra_workflow_runs" VALUES(6,'crashed','crashed','running',NULL,1735915445461,1735915445501,'1',NULL,NULL,'{}','{}','vm:19318:68382:1',1735915475502,'{"initialState":{}}');
INSERT INTO "mastra_workflow_runs" VALUES(7,'sleeping','sleeping','waiting',NULL,1735915446776,1735915446812,'1',NULL,NULL,'{}','{}','vm:19329:68518:1',1735915476805,'{"initialState":{}}');
CREATE INDEX mastra_workflow_runs_created ON mastra_workflow_runs (created_at);
CREATE INDEX mastra_workflow_runs_owner ON mastra_workflow_runs (owner, created_at) WHERE owner IS NOT NULL;
CREATE INDEX mastra_workflow_runs_resource ON mastra_workflow_runs (resource_id, created_at) WHERE resource_id IS NOT NULL;
CREATE INDEX mastra_workflow_runs_status ON mastra_workflow_runs (status, created_at);
CREATE INDEX mastra_workflow_runs_workflow ON mastra_workflow_runs (workflow_id, created_at);
CREATE TRIGGER mastra_workflow_runs_delete AFTER DELETE ON mastra_workflow_runs
BEGIN
    DELETE FROM mastra_workflow_journal
    WHERE position >= OLD.run_key << 32 AND position < (OLD.run_key + 1) << 32;
END;
CREATE INDEX mastra_agent_runs_agent ON mastra_agent_runs (agent_id, saved_at);
CREATE INDEX mastra_threads_resource ON mastra_threads (resource_id, updated_at);
CREATE INDEX mastra_threads_updated ON mastra_threads (updated_at);
CREATE INDEX mastra_messages_thread ON mastra_messages (thread_id, created_at);
CREATE INDEX mastra_messages_resource ON mastra_messages (resource_id, created_at);
CREATE TRIGGER mastra_messages_delete AFTER DELETE ON mastra_messages
BEGIN
    DELETE FROM mastra_message_vectors WHERE message_key = OLD.message_key;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('mastra_workflow_runs',7);
COMMIT;
