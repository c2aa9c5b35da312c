-- What Headway needs at a MariaDB (10.6 or newer), and no more. Run once with the command line client, as an account that
-- may do all:  mariadb -u root -p < grants.sql   Running it again changes nothing, and brings an older version up to date.
-- Then make an account and give it a role:
--     CREATE USER headway@'%' IDENTIFIED BY '...';
--     GRANT headway_view_role TO headway@'%'; SET DEFAULT ROLE headway_view_role FOR headway@'%';   -- to watch
--     GRANT headway_act_role TO headway@'%'; SET DEFAULT ROLE headway_act_role FOR headway@'%';     -- to rerun, start, hold and release as well
-- Where events write to a log table of yours:  GRANT SELECT ON ops.event_log TO headway_view_role;

-- View: the table of events itself. The privilege EVENT would show them too, and lets its holder change and drop them.
-- PROCESS tells whether a body that says "running" still runs; a role in a role does not give it (MariaDB 10.11).
CREATE ROLE IF NOT EXISTS headway_view_role;
CREATE ROLE IF NOT EXISTS headway_act_role;
GRANT SELECT ON mysql.event TO headway_view_role;
GRANT PROCESS ON *.* TO headway_view_role;
GRANT PROCESS ON *.* TO headway_act_role;
GRANT headway_view_role TO headway_act_role;

-- Act: an existing event's body once more, as its definer, in a one-shot event that bears our key; and that away again.
-- No SQL of the caller's. The procedures belong to the account that runs this file.
CREATE DATABASE IF NOT EXISTS headway;

DELIMITER //
CREATE OR REPLACE PROCEDURE headway.event_start(in_schema VARCHAR(64), in_event VARCHAR(64), action_key VARCHAR(64))
MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    DECLARE found_body LONGTEXT;
    DECLARE found_definer VARCHAR(400);
    DECLARE found_mode VARCHAR(2000);
    DECLARE statement LONGTEXT;
    IF action_key NOT REGEXP '^headway-[0-9a-z]{10,40}$' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not an action key of Headway';
    END IF;
    SELECT CONVERT(e.body USING utf8mb4), e.definer, CAST(e.sql_mode AS CHAR) INTO found_body, found_definer, found_mode
      FROM mysql.event e WHERE e.db = in_schema AND e.name = in_event AND e.name NOT LIKE 'headway-%';
    IF found_body IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such event';
    ELSEIF @@global.event_scheduler <> 'ON' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the event scheduler is off: nothing would start';
    END IF;
    -- The same key again adds nothing. PRESERVE: it stays after its run, as the proof that it was started.
    -- @headway_action_key is the one-shot's alone: a log table's column action_key takes it.
    SET statement = CONCAT(
        'CREATE DEFINER=',
        QUOTE(LEFT(found_definer, LENGTH(found_definer) - LENGTH(SUBSTRING_INDEX(found_definer, '@', -1)) - 1)), '@',
        QUOTE(SUBSTRING_INDEX(found_definer, '@', -1)),
        ' EVENT IF NOT EXISTS `', REPLACE(in_schema, '`', '``'), '`.`', action_key,
        '` ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 1 SECOND ON COMPLETION PRESERVE COMMENT ', QUOTE(in_event),
        ' DO BEGIN SET @headway_action_key = ', QUOTE(action_key), ';\n', found_body, '\n; END');
    SET SESSION sql_mode = found_mode;
    EXECUTE IMMEDIATE statement;
END //

-- Takes a one-shot event of ours away, once it has run.
CREATE OR REPLACE PROCEDURE headway.event_tidy(in_schema VARCHAR(64), action_key VARCHAR(64))
MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    IF action_key REGEXP '^headway-[0-9a-z]{10,40}$' AND EXISTS (
        SELECT 1 FROM mysql.event e WHERE e.db = in_schema AND e.name = action_key AND e.status = 'DISABLED'
           AND e.last_executed < UTC_TIMESTAMP() - INTERVAL 1 DAY) THEN
        EXECUTE IMMEDIATE CONCAT('DROP EVENT IF EXISTS `', REPLACE(in_schema, '`', '``'), '`.`', action_key, '`');
    END IF;
END //
DELIMITER ;

GRANT EXECUTE ON PROCEDURE headway.event_start TO headway_act_role;
GRANT EXECUTE ON PROCEDURE headway.event_tidy TO headway_act_role;

-- Hold: only an event that is enabled; the hold mark is a row of events_held (an event's comment has 64 characters, too few).
-- ALTER EVENT makes whoever runs it the definer, unless it names one. The same key again changes nothing.
CREATE TABLE IF NOT EXISTS headway.events_held (
    event_schema VARCHAR(64) NOT NULL,
    event_name VARCHAR(64) NOT NULL,
    mark VARCHAR(200) NOT NULL,
    PRIMARY KEY (event_schema, event_name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
GRANT SELECT ON headway.events_held TO headway_view_role;
GRANT SELECT ON headway.events_held TO headway_act_role;

DELIMITER //
CREATE OR REPLACE PROCEDURE headway.event_switch(in_schema VARCHAR(64), in_event VARCHAR(64), word VARCHAR(7))
MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    DECLARE found_definer VARCHAR(400);
    SELECT e.definer INTO found_definer FROM mysql.event e WHERE e.db = in_schema AND e.name = in_event;
    EXECUTE IMMEDIATE CONCAT(
        'ALTER DEFINER=',
        QUOTE(LEFT(found_definer, LENGTH(found_definer) - LENGTH(SUBSTRING_INDEX(found_definer, '@', -1)) - 1)), '@',
        QUOTE(SUBSTRING_INDEX(found_definer, '@', -1)),
        ' EVENT `', REPLACE(in_schema, '`', '``'), '`.`', REPLACE(in_event, '`', '``'), '` ', word);
END //

CREATE OR REPLACE PROCEDURE headway.event_hold(
    in_schema VARCHAR(64), in_event VARCHAR(64), action_key VARCHAR(64), held_by VARCHAR(64), until_at VARCHAR(27))
MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    DECLARE found_status VARCHAR(30);
    DECLARE found_mark VARCHAR(200);
    DECLARE new_mark VARCHAR(200) DEFAULT CONCAT('headway-hold id=', action_key, ' by=', held_by, ' until=', until_at);
    IF new_mark NOT REGEXP
       '^headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27}$' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not a hold of Headway';
    END IF;
    SELECT CAST(e.status AS CHAR) INTO found_status FROM mysql.event e WHERE e.db = in_schema AND e.name = in_event;
    SELECT h.mark INTO found_mark FROM headway.events_held h WHERE h.event_schema = in_schema AND h.event_name = in_event;
    IF found_status IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such event';
    ELSEIF found_mark IS NOT NULL AND NOT (found_mark = new_mark) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the event is held already';
    ELSEIF found_mark IS NULL AND found_status <> 'ENABLED' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the event is not enabled: somebody else paused it';
    ELSEIF found_status = 'ENABLED' THEN
        BEGIN
            -- The mark is committed before ALTER EVENT runs: where that is refused, the mark goes too.
            DECLARE EXIT HANDLER FOR SQLEXCEPTION
            BEGIN
                DELETE FROM headway.events_held
                 WHERE event_schema = in_schema AND event_name = in_event AND mark = new_mark;
                RESIGNAL;
            END;
            INSERT IGNORE INTO headway.events_held VALUES (in_schema, in_event, new_mark);
            CALL headway.event_switch(in_schema, in_event, 'DISABLE');
        END;
    END IF;
END //

-- Release: only an event that bears the mark with this id. `enable` 0: the hold mark alone, where a person has enabled it.
CREATE OR REPLACE PROCEDURE headway.event_release(
    in_schema VARCHAR(64), in_event VARCHAR(64), hold_key VARCHAR(64), enable BOOLEAN)
MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    IF hold_key NOT REGEXP '^headway-[0-9a-z]{10,40}$'
       OR NOT EXISTS (SELECT 1 FROM headway.events_held h WHERE h.event_schema = in_schema AND h.event_name = in_event
                      AND h.mark LIKE CONCAT('headway-hold id=', hold_key, ' by=%')) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the event does not bear this hold: nothing was changed';
    END IF;
    IF enable THEN
        CALL headway.event_switch(in_schema, in_event, 'ENABLE');
    END IF;
    DELETE FROM headway.events_held WHERE event_schema = in_schema AND event_name = in_event;
END //
DELIMITER ;

GRANT EXECUTE ON PROCEDURE headway.event_hold TO headway_act_role;
GRANT EXECUTE ON PROCEDURE headway.event_release TO headway_act_role;
