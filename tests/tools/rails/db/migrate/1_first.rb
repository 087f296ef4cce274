class First < ActiveRecord::Migration[6.1]
  def change
    create_table(:authors) do |t|
      t.string :name, null: false
      t.string :email, null: false, index: { unique: true }
    end
    create_table(:tags) do |t|
      t.string :name, null: false
    end
    create_table(:books) do |t|
      t.string :title, null: false, index: true
      t.string :isbn, null: false, index: { unique: true }
      t.integer :pages, null: false, default: 0
      t.references :author, null: false, foreign_key: { on_delete: :cascade }
    end
    create_table(:taggings) do |t|
      t.references :book, null: false, foreign_key: { on_delete: :cascade }
      t.references :tag, null: false, foreign_key: { on_delete: :cascade }
      t.index [:book_id, :tag_id], unique: true
    end
  end
end
