SELECT /*+ index(:a) */ 1
