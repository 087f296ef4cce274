class Rename < ActiveRecord::Migration[6.1]
  def change
    rename_column :books, :pages, :page_count
    rename_table :tags, :labels
    rename_column :taggings, :tag_id, :label_id
  end
end
